#include "firmware.h"

#include "board.h"
#include "commands.h"
#include "protocol.h"

static trm_rows rows;
static trm_block block;
static trm_machine machine;
static trm_vectors vectors;

static trm_status start(trm_session *session) {
  trm_memory memory = board_memory();
  void *line = NULL;
  trm_status status = trm_rows_open(&rows, board_flash());
  if (!status.code) status = trm_open_block(&block, &rows, &memory);
  if (!status.code) status = trm_machine_start(&machine, &rows, &block, &memory);
  if (!status.code) status = trm_take(&memory, trm_line_room(rows.seq), &line);
  if (status.code) return status;
  *session = (trm_session){.machine = &machine,
                           .vectors = &vectors,
                           .vectors_status = trm_vectors_open(&vectors, &rows),
                           .depth = rows.depth,
                           .line = line,
                           .room = trm_line_room(rows.seq)};
  return status;
}

static void tell_lost(trm_session *session) {
  uint32_t puzzle, steps;
  if (!trm_take_lost(&puzzle, &steps)) return;
  trm_text text = trm_reply(session);
  trm_put_words(&text, "lost");
  trm_put_field(&text, "puzzle", puzzle);
  trm_put_field(&text, "steps", steps);
  trm_send(&text);
}

int trm_firmware(void) {
  trm_session session;
  trm_status status = start(&session);
  if (status.code) {
    trm_report(status);
    return 1;
  }
  tell_lost(&session);
  trm_serve(&session, trm_answer);
  return 0;
}
