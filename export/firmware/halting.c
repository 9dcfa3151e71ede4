#include "halting.h"

#include <string.h>

enum { PER_UNIT = 10000, MOST_BOUND = 1000 * PER_UNIT, MOST_UNCHANGED = 1024, DECIMALS = 4 };

static const char *const NAMES[TRM_HALT_COUNT] = {"never", "q", "qc", "rules", "unchanged"};

static int is_by_q(trm_halting h) { return h.rule == TRM_HALT_Q || h.rule == TRM_HALT_Q_CONTINUE; }

int trm_halting_fits(trm_halting h) {
  if ((unsigned)h.rule >= TRM_HALT_COUNT) return 0;
  if (is_by_q(h)) return h.bound >= -MOST_BOUND && h.bound <= MOST_BOUND;
  if (h.rule == TRM_HALT_UNCHANGED) return h.bound >= 1 && h.bound <= MOST_UNCHANGED;
  return h.bound == 0;
}

int trm_halting_reads_answer(trm_halting h) {
  return h.rule == TRM_HALT_RULES || h.rule == TRM_HALT_UNCHANGED;
}

int trm_q_halts(trm_halting h, float q_halt, float q_continue) {
  float bound = (float)((double)h.bound / PER_UNIT);
  return q_halt > (h.rule == TRM_HALT_Q ? bound : q_continue + bound);
}

/* A number of at most four digits and four decimals, in ten-thousandths. */
static int get_decimal(const char **at, int32_t *value) {
  const char *c = *at;
  int negative = *c == '-';
  c += negative;
  int32_t whole = 0, fraction = 0, digits = 0;
  for (; *c >= '0' && *c <= '9'; c++, digits++)
    if (digits < 4) whole = whole * 10 + (*c - '0');
  if (digits < 1 || digits > 4) return 0;
  if (*c == '.') {
    int32_t places = 0;
    for (c++; *c >= '0' && *c <= '9'; c++, places++)
      if (places < DECIMALS) fraction = fraction * 10 + (*c - '0');
    if (places < 1 || places > DECIMALS) return 0;
    for (; places < DECIMALS; places++) fraction *= 10;
  }
  *value = (whole * PER_UNIT + fraction) * (negative ? -1 : 1);
  *at = c;
  return 1;
}

static int get_bound(const char **at, trm_halting *h) {
  const char *c = *at + 1;
  uint32_t count;
  if (is_by_q(*h) ? !get_decimal(&c, &h->bound) : !trm_get_number(&c, &count)) return 0;
  if (!is_by_q(*h)) h->bound = count > MOST_UNCHANGED ? -1 : (int32_t)count;
  *at = c;
  return 1;
}

int trm_get_halting(const char **at, trm_halting *halting) {
  for (int i = TRM_HALT_COUNT - 1; i >= 0; i--) { /* qc before q */
    uint32_t length = (uint32_t)strlen(NAMES[i]);
    if (strncmp(*at, NAMES[i], length)) continue;
    const char *c = *at + length;
    trm_halting h = {.rule = (trm_halt_rule)i, .bound = i == TRM_HALT_UNCHANGED};
    if (*c == ':' && (i == TRM_HALT_NEVER || i == TRM_HALT_RULES || !get_bound(&c, &h))) return 0;
    if (!trm_halting_fits(h)) return 0;
    *halting = h;
    *at = c;
    return 1;
  }
  return 0;
}

static void put_decimal(trm_text *text, int32_t value) {
  uint32_t size = (uint32_t)(value < 0 ? -value : value), rest = size % PER_UNIT;
  if (value < 0) trm_put(text, '-');
  trm_put_number(text, size / PER_UNIT);
  if (rest) trm_put(text, '.');
  for (uint32_t place = PER_UNIT / 10; rest; place /= 10) {
    trm_put(text, (char)('0' + rest / place));
    rest %= place;
  }
}

void trm_put_halting(trm_text *text, trm_halting h) {
  trm_put_words(text, NAMES[h.rule]);
  if (is_by_q(h) && h.bound) {
    trm_put(text, ':');
    put_decimal(text, h.bound);
  }
  if (h.rule == TRM_HALT_UNCHANGED && h.bound != 1) {
    trm_put(text, ':');
    trm_put_number(text, (uint32_t)h.bound);
  }
}
