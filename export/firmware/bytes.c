#include "bytes.h"

uint32_t trm_u16(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }

uint32_t trm_u32(const uint8_t *at) { return trm_u16(at) | trm_u16(at + 2) << 16; }

uint32_t trm_hash_begin(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int64_t trm_i64(const uint8_t *at) {
  /* to signed by gcc's defined wrap-around */
  return (int64_t)((uint64_t)trm_u32(at) | (uint64_t)trm_u32(at + 4) << 32);
}

/* CRC of every 4-bit value: 64 bytes of flash instead of 1 KB, two look-ups a byte. */
static const uint32_t NIBBLE[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
};

uint32_t trm_crc32(uint32_t crc, const void *data, size_t bytes) {
  const uint8_t *at = data;
  crc = ~crc;
  for (size_t i = 0; i < bytes; i++) {
    crc ^= at[i];
    crc = crc >> 4 ^ NIBBLE[crc & 15];
    crc = crc >> 4 ^ NIBBLE[crc & 15];
  }
  return ~crc;
}

trm_status trm_take(trm_memory *memory, uint32_t bytes, void **taken) {
  /* in 64 bits: sizes come from a file and may be anything */
  uint64_t end = (uint64_t)memory->used + (((uint64_t)bytes + 15) & ~(uint64_t)15);
  if (end > memory->bytes) {
    uint64_t missing = end - memory->bytes;
    return trm_fail(TRM_NO_ROOM, missing > UINT32_MAX ? UINT32_MAX : (uint32_t)missing,
                    memory->bytes);
  }
  *taken = memory->base + memory->used;
  memory->used = (uint32_t)end;
  return trm_fine();
}
