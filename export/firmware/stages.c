#include "stages.h"

#include <string.h>

static uint8_t *at_place(const trm_sequence *sequence, trm_place place, void *z) {
  return place == TRM_Z ? z : sequence->work;
}

/* Give an input `count` rows of a state, and zeros for the rest. */
static void feed(const trm_end *end, const uint8_t *rows, uint32_t count) {
  uint32_t row = end->width * end->size;
  if (rows == end->data) return;
  memcpy(end->data, rows, count * row);
  memset((uint8_t *)end->data + count * row, 0, (end->rows - count) * row);
}

/* Put `count` rows of an output into columns of a state of `emb` elements a row. */
static void collect(const trm_end *end, uint8_t *columns, uint32_t count, uint32_t emb) {
  uint32_t row = end->width * end->size, stride = emb * end->size;
  for (uint32_t i = 0; i < count; i++)
    memcpy(columns + i * stride, (const uint8_t *)end->data + i * row, row);
}

/* Run a stage on `count` rows from `start`. */
static trm_status run_rows(const trm_sequence *sequence, const trm_graphs *graphs,
                           const trm_stage *stage, uint32_t start, uint32_t count, void *z) {
  for (uint32_t i = 0; i < stage->inputs; i++) {
    trm_end end = graphs->input(graphs->context, stage->graph, i);
    feed(&end, at_place(sequence, stage->from[i], z) + start * end.width * end.size, count);
  }
  trm_status status = graphs->run(graphs->context, stage->graph);
  uint32_t column = stage->column;
  for (uint32_t i = 0; i < stage->outputs && !status.code; i++) {
    trm_end end = graphs->output(graphs->context, stage->graph, i);
    uint8_t *rows = at_place(sequence, stage->to, z) + start * sequence->emb * end.size;
    collect(&end, rows + column * end.size, count, sequence->emb);
    column += end.width;
  }
  return status;
}

static int is_place(trm_place place) { return place == TRM_Z || place == TRM_WORK; }

static int is_stage(const trm_stage *stage, uint32_t graphs) {
  if (stage->graph >= graphs || !stage->outputs || !is_place(stage->to)) return 0;
  if (stage->inputs < 1 || stage->inputs > TRM_MOST_INPUTS) return 0;
  for (uint32_t i = 0; i < stage->inputs; i++)
    if (!is_place(stage->from[i])) return 0;
  return 1;
}

trm_status trm_check_stages(const trm_stage *stages, uint32_t count, uint32_t graphs) {
  if (!count) return trm_fail(TRM_STAGE_FIELDS, 0, graphs);
  for (uint32_t s = 0; s < count; s++)
    if (!is_stage(&stages[s], graphs)) return trm_fail(TRM_STAGE_FIELDS, s, graphs);
  return trm_fine();
}

trm_status trm_run_stages(const trm_sequence *sequence, const trm_graphs *graphs, void *z) {
  trm_status status = trm_fine();
  for (uint32_t s = 0; s < sequence->count && !status.code; s++) {
    const trm_stage *stage = &sequence->stages[s];
    uint32_t rows = graphs->input(graphs->context, stage->graph, 0).rows;
    for (uint32_t start = 0; start < sequence->positions && !status.code; start += rows) {
      uint32_t left = sequence->positions - start;
      status = run_rows(sequence, graphs, stage, start, left < rows ? left : rows, z);
    }
  }
  return status;
}
