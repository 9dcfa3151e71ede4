/* A network as a sequence of graphs that share one memory, as export/lowering/stages.py runs it.

   A stage feeds one graph with rows of whole states and puts its results into one. A graph takes
   as many positions at a time as its tensors have rows; rows that a last call lacks are zeros.
   Between two calls a graph keeps nothing, so all of them may lie in the same arena.

     TRM_Z      the state that is updated, in place
     TRM_WORK   one more state: the injection first, then what a stage puts there

   A network in one graph is one stage from TRM_Z and TRM_WORK to TRM_Z; where TRM_WORK is the
   graph's own tensor, nothing is copied. */
#ifndef TRM_STAGES_H
#define TRM_STAGES_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { TRM_Z = 0, TRM_WORK = 1 } trm_place;

enum { TRM_MOST_INPUTS = 2 };

typedef struct {
  uint32_t graph;
  uint32_t inputs, outputs; /* of the graph */
  trm_place from[TRM_MOST_INPUTS], to;    /* place of each input, and of all outputs */
  uint32_t column;          /* of `to`, where the first output begins; the others follow */
} trm_stage;

/* One end of a graph: `rows` positions of `width` elements of `size` bytes. */
typedef struct {
  void *data;
  uint32_t rows, width, size;
} trm_end;

typedef struct {
  void *context;
  trm_end (*input)(void *context, uint32_t graph, uint32_t index);
  trm_end (*output)(void *context, uint32_t graph, uint32_t index);
  trm_status (*run)(void *context, uint32_t graph);
} trm_graphs;

typedef struct {
  const trm_stage *stages;
  uint32_t count;
  uint32_t positions, emb;
  void *work;
} trm_sequence;

/* Check that stages name graphs 0 to graphs - 1, their places and 1 or 2 inputs; there must be one. */
trm_status trm_check_stages(const trm_stage *stages, uint32_t count, uint32_t graphs);

/* Apply a network to a state; the stages are checked, and every graph has rows. */
trm_status trm_run_stages(const trm_sequence *sequence, const trm_graphs *graphs, void *z);

#ifdef __cplusplus
}
#endif
#endif
