/* Do the graphs of a package fit each other? States pass between them as they lie, so types, sizes
   and scales of what one gives and the next takes must agree.

   A sequence is walked through as ../stages.c runs it, with tensors in place of states. Whether the
   columns of a state are all written is the package's business (export/lowering/stages.py). */
#ifndef TRM_TFLM_CHECKS_H
#define TRM_TFLM_CHECKS_H

#include "../carry.h"
#include "../status.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tflm_package.h"
#include "trm_package.h"

inline int TypeOf(const TfLiteTensor *tensor) {
  switch (tensor->type) {
    case kTfLiteFloat32: return TRM_FLOAT32;
    case kTfLiteInt16: return TRM_INT16;
    case kTfLiteInt8: return TRM_INT8;
    default: return -1;
  }
}

/* Axes in front of the last two are of length 1, however many a graph has. */
inline int FromLast(const TfLiteTensor *tensor, int back) {
  return tensor->dims->data[tensor->dims->size - 1 - back];
}

inline bool IsMatrix(const TfLiteTensor *tensor) {
  if (TypeOf(tensor) < 0 || tensor->dims->size < 2) return false;
  for (int axis = 0; axis < tensor->dims->size - 2; axis++)
    if (tensor->dims->data[axis] != 1) return false;
  return true;
}

inline bool MeansTheSame(const TfLiteTensor *a, const TfLiteTensor *b) {
  return a->type == b->type && a->params.scale == b->params.scale &&
         a->params.zero_point == b->params.zero_point;
}

/* A walk through the graphs that update one state. */
class TflmWalk {
 public:
  /* state: what the head reads */
  TflmWalk(tflite::MicroInterpreter *const *graphs, const TfLiteTensor *state)
      : graphs_(graphs), state_(state) {}

  trm_status Check(const TflmSequence &sequence) {
    /* the head, the last graph, is none of an update's */
    trm_status status = trm_check_stages(sequence.stages, sequence.count, TRM_GRAPHS - 1);
    for (uint32_t s = 0; s < sequence.count && !status.code; s++) {
      const trm_stage &stage = sequence.stages[s];
      if (graphs_[stage.graph]->inputs_size() != stage.inputs ||
          graphs_[stage.graph]->outputs_size() != stage.outputs)
        return trm_fail(TRM_MODEL_ENDS, stage.graph, stage.inputs);
      status = Read(stage);
      if (!status.code) status = Write(stage);
    }
    if (status.code) return status;
    uint32_t last = sequence.stages[sequence.count - 1].graph;
    /* one graph keeps its injection in its own tensor, which must be a whole state */
    if (sequence.count == 1 && FromLast(held_[TRM_Z], 1) != FromLast(state_, 1))
      return trm_fail(TRM_MODEL_ENDS, last, 2);
    return MeansTheSame(held_[TRM_Z], first_) ? status : trm_fail(TRM_CARRY_RANGES, last, 0);
  }

  /* The updated state, as it is taken and given. */
  const TfLiteTensor *z() const { return first_; }

 private:
  trm_status Read(const trm_stage &stage) {
    for (uint32_t i = 0; i < stage.inputs; i++) {
      const TfLiteTensor *tensor = graphs_[stage.graph]->input(i);
      const TfLiteTensor *&held = held_[stage.from[i]];
      bool begins = !held; /* as the loop leaves it: of the carry's type */
      if (!IsMatrix(tensor) || !SameRows(tensor, stage) ||
          FromLast(tensor, 0) != FromLast(state_, 0) || (begins && tensor->type != state_->type))
        return trm_fail(TRM_MODEL_ENDS, stage.graph, stage.inputs);
      if (begins) held = tensor;
      if (!first_ && stage.from[i] == TRM_Z) first_ = tensor;
      if (!MeansTheSame(tensor, held)) return trm_fail(TRM_CARRY_RANGES, stage.graph, i);
    }
    return trm_fine();
  }

  trm_status Write(const trm_stage &stage) {
    int column = static_cast<int>(stage.column);
    for (uint32_t i = 0; i < stage.outputs; i++) {
      const TfLiteTensor *tensor = graphs_[stage.graph]->output(i);
      if (!IsMatrix(tensor) || !SameRows(tensor, stage) || column < 0 ||
          column > FromLast(state_, 0) || column + FromLast(tensor, 0) > FromLast(state_, 0))
        return trm_fail(TRM_MODEL_ENDS, stage.graph, stage.inputs);
      /* columns of one state, side by side */
      if (column && !MeansTheSame(tensor, held_[stage.to]))
        return trm_fail(TRM_CARRY_RANGES, stage.graph, i);
      held_[stage.to] = tensor;
      column += FromLast(tensor, 0);
    }
    return trm_fine();
  }

  bool SameRows(const TfLiteTensor *tensor, const trm_stage &stage) const {
    int rows = FromLast(graphs_[stage.graph]->input(0), 1);
    return rows > 0 && FromLast(tensor, 1) == rows; /* with no rows a stage would never end */
  }

  tflite::MicroInterpreter *const *graphs_;
  const TfLiteTensor *state_, *first_ = nullptr, *held_[2] = {nullptr, nullptr};
};

inline trm_status CheckHead(tflite::MicroInterpreter *head, uint32_t index,
                            const TfLiteTensor *z_H) {
  const TfLiteTensor *logits = head->output(0), *q = head->output(1);
  if (!IsMatrix(logits) || !IsMatrix(q) || FromLast(q, 0) != 2 || FromLast(q, 1) != 1)
    return trm_fail(TRM_MODEL_ENDS, index, 1);
  return MeansTheSame(z_H, head->input(0)) ? trm_fine() : trm_fail(TRM_CARRY_RANGES, index, 0);
}

#endif
