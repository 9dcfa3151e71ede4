#include "protocol.h"

#include <string.h>

#include "board.h"
#include "text.h"

enum { OTHER_WORDS = 256 };

uint32_t trm_line_room(uint32_t seq) { return seq + OTHER_WORDS; }

void trm_send(const trm_text *text) {
  uint32_t crc = trm_crc32(0, text->at, text->used);
  char ending[12];
  trm_text tail = {.at = ending, .room = sizeof ending};
  trm_put_words(&tail, " *");
  trm_put_hex(&tail, crc);
  for (uint32_t i = 0; i < text->used; i++) board_write(text->at[i]);
  for (uint32_t i = 0; i < tail.used; i++) board_write(ending[i]);
  board_write('\n');
}

void trm_report(trm_status status) {
  char line[OTHER_WORDS];
  trm_text text = {.at = line, .room = sizeof line};
  trm_put_words(&text, "error ");
  trm_put_number(&text, status.code);
  trm_put(&text, ' ');
  trm_put_status(&text, status);
  trm_send(&text);
}

trm_text trm_reply(trm_session *session) {
  return (trm_text){.at = session->line, .room = session->room};
}

/* Cut ` *XXXXXXXX` off, if it is there, and compare. */
static trm_status check_line(char *line) {
  char digits[9];
  size_t length = strlen(line);
  if (length < 10 || line[length - 10] != ' ' || line[length - 9] != '*') return trm_fine();
  uint32_t crc = trm_crc32(0, line, length - 10);
  trm_text text = {.at = digits, .room = sizeof digits};
  trm_put_hex(&text, crc);
  if (memcmp(digits, line + length - 8, 8)) return trm_fail(TRM_CHECKSUM, 0, crc);
  line[length - 10] = 0;
  return trm_fine();
}

/* Read a line; 0 at the end of the input. A line that cannot be taken is read to its end: a zero
   in it would hide what follows, checksum included. */
static int read_line(trm_session *session, trm_status *status) {
  trm_text text = trm_reply(session);
  int c, before = 0;
  session->line[0] = 0;
  *status = trm_fine();
  while ((c = board_read()) != BOARD_END && c != '\n') {
    if (c == BOARD_LOST) {
      *status = trm_fail(TRM_INPUT_LOST, 0, 0);
      continue;
    }
    int bad = before == '\r' ? before : c != '\r' && (c < ' ' || c > '~') ? c : 0;
    if ((bad || !c) && !status->code) *status = trm_fail(TRM_BAD_CHARACTER, (uint32_t)bad, '~');
    if (c && c != '\r') trm_put(&text, (char)c);
    before = c;
  }
  if (text.full) *status = trm_fail(TRM_LINE_TOO_LONG, 0, session->room - 1);
  return c != BOARD_END;
}

void trm_serve(trm_session *session, trm_answer_function answer) {
  trm_status status;
  while (read_line(session, &status)) {
    if (!status.code) status = check_line(session->line);
    if (!status.code && !session->line[0]) continue;
    if (!status.code && !strcmp(session->line, "quit")) {
      trm_text text = trm_reply(session);
      trm_put_words(&text, "bye");
      trm_send(&text);
      return;
    }
    if (!status.code) status = answer(session, session->line);
    if (status.code) trm_report(status);
  }
}
