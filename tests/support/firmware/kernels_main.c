/* Runs kernels.h and products.h over the cases of the flash file; prints the CRC-32 of each result.

   A case is five u32 (kind, count, two parameters, bytes of its data), then its data, padded to
   four bytes: tables first, then what the kernel reads. */
#include <string.h>

#include "board.h"
#include "firmware.h"
#include "kernels.h"
#include "products.h"

enum { LOOK_UP, DECODE, LOGISTIC, MULTIPLY_S16, MULTIPLY_S8, SOFTMAX };
enum { MOST = 1 << 17, GUARD = 16, FILL = 0xa5 };

static _Alignas(4) uint8_t result[MOST + GUARD];

static void print(uint32_t number) {
  for (int shift = 28; shift >= 0; shift -= 4) board_write("0123456789abcdef"[number >> shift & 15]);
  board_write('\n');
}

/* bias, multipliers, shifts, four numbers of the scheme, filter (padded to four bytes), rows */
static uint32_t multiply(const uint32_t *head, const uint8_t *data) {
  uint32_t outputs = head[3], filter_bytes = (head[2] * outputs + 3) / 4 * 4;
  const int32_t *numbers = (const int32_t *)(const void *)data, *scheme = numbers + 3 * outputs;
  const uint8_t *filter = (const uint8_t *)(scheme + 4);
  const void *x = filter + filter_bytes;
  trm_product product = {.filter = (const int8_t *)filter,
                         .bias = numbers,
                         .multipliers = numbers + outputs,
                         .shifts = numbers + 2 * outputs,
                         .x_zero = scheme[0],
                         .y_zero = scheme[1],
                         .least = scheme[2],
                         .most = scheme[3],
                         .rows = head[1],
                         .inputs = head[2],
                         .outputs = outputs};
  if (head[0] == MULTIPLY_S16) {
    trm_multiply_s16(&product, x, (int16_t *)(void *)result);
    return 2 * head[1] * outputs;
  }
  trm_multiply_s8(&product, x, (int8_t *)result);
  return head[1] * outputs;
}

/* The largest and the sum of a row go before its results. */
static uint32_t softmax(const uint32_t *head, const uint8_t *data) {
  const int32_t *exponentials = (const int32_t *)(const void *)data;
  const int8_t *x = (const int8_t *)(exponentials + 256);
  trm_softmax_row row = trm_softmax_sum(exponentials, x, head[1]);
  trm_softmax_scale by = {row.largest, (int32_t)head[2], (int32_t)head[3]};
  memcpy(result, &row, sizeof row);
  trm_softmax_write(exponentials, &by, x, (int8_t *)result + sizeof row, head[1]);
  return head[1] + (uint32_t)sizeof row;
}

static uint32_t run(const uint32_t *head, const uint8_t *data) {
  uint32_t count = head[1];
  if (head[0] == SOFTMAX) return softmax(head, data);
  if (head[0] >= MULTIPLY_S16) return multiply(head, data);
  if (head[0] == LOOK_UP) {
    trm_look_up(data, data + 256, result, count);
  } else if (head[0] == DECODE) {
    trm_decode_channel(data + TRM_TABLE_ENTRIES, head[2], count, data, result);
  } else {
    static uint32_t packed[TRM_SIGMOID_ENTRIES];
    trm_pack_sigmoid((const uint16_t *)(const void *)data, packed);
    trm_sigmoid sigmoid = {packed, (int32_t)head[2], (int32_t)head[3]};
    const int16_t *x = (const int16_t *)(const void *)(data + 2 * TRM_SIGMOID_ENTRIES);
    trm_logistic_s16(&sigmoid, x, (int16_t *)result, count);
    count *= 2;
  }
  return count;
}

int trm_firmware(void) {
  trm_flash flash = board_flash();
  const uint8_t *base = flash.context;
  for (uint32_t at = 0; at < flash.bytes;) {
    uint32_t head[5];
    memcpy(head, base + at, sizeof head);
    if (!head[4]) break; /* a board's flash goes on behind the file */
    memset(result, FILL, sizeof result);
    uint32_t bytes = run(head, base + at + sizeof head), touched = 0;
    for (int i = 0; i < GUARD; i++) touched |= result[bytes + (uint32_t)i] ^ FILL;
    print(touched ? 0 : trm_crc32(0, result, bytes));
    at += (uint32_t)sizeof head + (head[4] + 3) / 4 * 4;
  }
  return 0;
}
