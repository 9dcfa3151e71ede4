/* The M55-HP core of an Alif Ensemble E7: 400 MHz; the console is the debugger's. */
#ifndef TRM_DEVICE_H
#define TRM_DEVICE_H

enum { CPU_HERTZ = 400000000 };
#ifndef CONSOLE_SEMIHOSTING
#define CONSOLE_SEMIHOSTING
#endif

#endif
