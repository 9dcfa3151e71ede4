/* Text into a fixed buffer, without stdio: printf of newlib may allocate.

   What does not fit is dropped and `full` is set; the buffer always ends in a zero. */
#ifndef TRM_TEXT_H
#define TRM_TEXT_H

#include <stdint.h>

#include "status.h"

typedef struct {
  char *at;
  uint32_t room, used;
  int full;
} trm_text;

void trm_put(trm_text *text, char c);
void trm_put_words(trm_text *text, const char *words);
void trm_put_number(trm_text *text, uint64_t number);
/* Eight hexadecimal digits. */
void trm_put_hex(trm_text *text, uint32_t number);
/* " name=number" */
void trm_put_field(trm_text *text, const char *name, uint64_t number);
/* Words of a status with its numbers; checksums and ids in hexadecimal. */
void trm_put_status(trm_text *text, trm_status status);

/* Read decimal digits and step past them; 0 where there are none or the number exceeds 2^32 - 1. */
int trm_get_number(const char **at, uint32_t *number);

#endif
