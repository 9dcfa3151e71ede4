/* Little-endian fields, CRC-32 and memory handed out once at the start.

   CRC-32 is IEEE 802.3's (polynomial 0xEDB88320 reflected, start and final xor 0xFFFFFFFF), the
   one of zlib.crc32. */
#ifndef TRM_BYTES_H
#define TRM_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

uint32_t trm_u16(const uint8_t *at);
uint32_t trm_u32(const uint8_t *at);
int64_t trm_i64(const uint8_t *at);
/* First four bytes in the order in which a hash is written. */
uint32_t trm_hash_begin(const uint8_t *at);

/* Continue a CRC over more bytes; begin with 0. */
uint32_t trm_crc32(uint32_t crc, const void *data, size_t bytes);

/* Memory from the board's state section: taken at the start, never given back (no heap). */
typedef struct {
  uint8_t *base;
  uint32_t bytes, used;
} trm_memory;

/* Take bytes aligned to 16. */
trm_status trm_take(trm_memory *memory, uint32_t bytes, void **taken);

#ifdef __cplusplus
}
#endif
#endif
