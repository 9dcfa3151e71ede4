/* Flash as something that is read at offsets into a buffer.

   A board whose flash is in its address space copies (trm_flash_mapped below); one with flash
   behind a plain SPI bus gives a `read` of its own. Rows are streamed, so nothing else differs. */
#ifndef TRM_FLASH_H
#define TRM_FLASH_H

#include <stdint.h>
#include <string.h>

typedef struct {
  const void *context;
  uint32_t bytes;
  void (*read)(const void *context, uint32_t offset, void *to, uint32_t bytes);
} trm_flash;

static inline void trm_copy_mapped(const void *base, uint32_t offset, void *to, uint32_t bytes) {
  memcpy(to, (const uint8_t *)base + offset, bytes);
}

/* Flash in the address space. */
static inline trm_flash trm_flash_mapped(const void *base, uint32_t bytes) {
  return (trm_flash){.context = base, .bytes = bytes, .read = trm_copy_mapped};
}

#endif
