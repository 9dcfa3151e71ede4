#include "text.h"

#include <string.h>

void trm_put(trm_text *text, char c) {
  if (text->used + 1 >= text->room) {
    text->full = 1;
    return;
  }
  text->at[text->used++] = c;
  text->at[text->used] = 0;
}

void trm_put_words(trm_text *text, const char *words) {
  while (*words) trm_put(text, *words++);
}

void trm_put_number(trm_text *text, uint64_t number) {
  char digits[20];
  uint32_t count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  while (count) trm_put(text, digits[--count]);
}

void trm_put_hex(trm_text *text, uint32_t number) {
  for (int shift = 28; shift >= 0; shift -= 4)
    trm_put(text, "0123456789abcdef"[number >> shift & 15]);
}

void trm_put_field(trm_text *text, const char *name, uint64_t number) {
  trm_put(text, ' ');
  trm_put_words(text, name);
  trm_put(text, '=');
  trm_put_number(text, number);
}

void trm_put_status(trm_text *text, trm_status status) {
  for (const char *words = trm_words(status.code); *words; words++) {
    int number = words[0] == '%' && words[1] && strchr("gGwW", words[1]);
    if (!number) {
      trm_put(text, *words);
      continue;
    }
    uint32_t value = *++words == 'g' || *words == 'G' ? status.got : status.wanted;
    if (*words == 'G' || *words == 'W')
      trm_put_hex(text, value);
    else
      trm_put_number(text, value);
  }
}

int trm_get_number(const char **at, uint32_t *number) {
  uint64_t value = 0;
  const char *c = *at;
  if (*c < '0' || *c > '9') return 0;
  while (*c >= '0' && *c <= '9') {
    value = value * 10 + (uint64_t)(*c++ - '0');
    if (value > UINT32_MAX) return 0;
  }
  *at = c;
  *number = (uint32_t)value;
  return 1;
}
