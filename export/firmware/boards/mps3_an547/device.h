/* The AN547's core: its clock, and the interrupt of UART 0's receiver. */
#ifndef TRM_DEVICE_H
#define TRM_DEVICE_H

enum { CPU_HERTZ = 32000000 };
#ifndef CONSOLE_SEMIHOSTING
#define RECEIVE_IRQ 33
#endif

#endif
