/* The program, the same on every board. */
#ifndef TRM_FIRMWARE_H
#define TRM_FIRMWARE_H

/* Open flash and block, then serve the console. Returns 0, or 1 after an error was written. */
int trm_firmware(void);

#endif
