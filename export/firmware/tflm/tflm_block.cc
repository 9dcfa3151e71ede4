/* The networks in TensorFlow Lite for Microcontrollers, behind block.h.

   Graphs (export/lower.py): update   z, injection -> z        head   z_H -> logits, q
   All share one arena: they run one after the other, so memory is that of the largest. An input
   tensor may be overwritten while its graph runs, hence z is copied in at every call. Objects are
   made in place (placement new): no heap, and no destructors at exit. */
#include "../block.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tflm_package.h"
#include "trm_op_resolver.h"
#include "tflm_parts.h"
#include "trm_package.h"

#include <cstring>
#include <new>

namespace {

enum GraphIndex { kUpdateL = 0, kUpdateH = 1, kHead = 2, kGraphs = 3 };

struct Networks {
  tflite::MicroAllocator *allocator;
  tflite::MicroInterpreter *graphs[kGraphs];
};

alignas(16) __attribute__((section(".arena"))) uint8_t arena[TRM_ARENA_BYTES];
alignas(tflite::MicroInterpreter) uint8_t rooms[kGraphs][sizeof(tflite::MicroInterpreter)];
alignas(TrmOpResolver) uint8_t resolver_room[sizeof(TrmOpResolver)];
alignas(TflmParts) uint8_t parts_room[sizeof(TflmParts)];
TflmParts *parts;
Networks networks;

trm_status OpenGraph(int index, const unsigned char *bytes, const TrmOpResolver &resolver,
                     tflite::MicroAllocator *allocator) {
  const tflite::Model *model = tflite::GetModel(bytes);
  if (model->version() != TFLITE_SCHEMA_VERSION)
    return trm_fail(TRM_MODEL_VERSION, static_cast<uint32_t>(model->version()),
                    TFLITE_SCHEMA_VERSION);
  networks.graphs[index] = new (rooms[index]) tflite::MicroInterpreter(
      model, resolver, allocator, nullptr, parts);
  if (networks.graphs[index]->AllocateTensors() != kTfLiteOk)
    return trm_fail(TRM_ARENA_TOO_SMALL, static_cast<uint32_t>(index), TRM_ARENA_BYTES);
  return trm_fine();
}

trm_status OpenGraphs(const TflmPackage &package) {
  TrmOpResolver *resolver = new (resolver_room) TrmOpResolver;
  parts = new (parts_room) TflmParts;
  int refused = RegisterOperators(*resolver);
  if (refused)
    return trm_fail(TRM_MODEL_OPERATORS, static_cast<uint32_t>(refused), TRM_OPERATORS);
  tflite::MicroAllocator *allocator = tflite::MicroAllocator::Create(arena, sizeof arena);
  if (!allocator) return trm_fail(TRM_ARENA_TOO_SMALL, kUpdateL, TRM_ARENA_BYTES);
  networks.allocator = allocator;
  trm_status status = OpenGraph(kUpdateL, package.update_L, *resolver, allocator);
  if (status.code) return status;
  if (package.update_H == package.update_L)
    networks.graphs[kUpdateH] = networks.graphs[kUpdateL];
  else
    status = OpenGraph(kUpdateH, package.update_H, *resolver, allocator);
  if (!status.code) status = OpenGraph(kHead, package.head, *resolver, allocator);
  return status;
}

int TypeOf(const TfLiteTensor *tensor) {
  switch (tensor->type) {
    case kTfLiteFloat32: return TRM_FLOAT32;
    case kTfLiteInt16: return TRM_INT16;
    case kTfLiteInt8: return TRM_INT8;
    default: return -1;
  }
}

/* Axes in front of the last two are of length 1, however many a graph has. */
int FromLast(const TfLiteTensor *tensor, int back) {
  return tensor->dims->data[tensor->dims->size - 1 - back];
}

bool IsMatrix(const TfLiteTensor *tensor) {
  if (TypeOf(tensor) < 0 || tensor->dims->size < 2) return false;
  for (int axis = 0; axis < tensor->dims->size - 2; axis++)
    if (tensor->dims->data[axis] != 1) return false;
  return true;
}

bool IsState(const TfLiteTensor *tensor, const TfLiteTensor *like) {
  return tensor->type == like->type && tensor->bytes == like->bytes;
}

bool SameScale(const TfLiteTensor *a, const TfLiteTensor *b) {
  return a->params.scale == b->params.scale && a->params.zero_point == b->params.zero_point;
}

/* States pass from graph to graph as they are, so ends must agree in type, size and scale. */
trm_status CheckUpdate(int index, const TfLiteTensor *state) {
  tflite::MicroInterpreter *graph = networks.graphs[index];
  uint32_t which = static_cast<uint32_t>(index);
  if (graph->inputs_size() != 2 || graph->outputs_size() != 1)
    return trm_fail(TRM_MODEL_ENDS, which, 2);
  if (!IsMatrix(state) || !IsState(graph->input(0), state) || !IsState(graph->input(1), state) ||
      !IsState(graph->output(0), state))
    return trm_fail(TRM_MODEL_ENDS, which, 2);
  if (!SameScale(graph->input(0), graph->output(0))) return trm_fail(TRM_CARRY_RANGES, which, 0);
  return trm_fine();
}

trm_status CheckHead(const TfLiteTensor *state) {
  tflite::MicroInterpreter *head = networks.graphs[kHead];
  if (head->inputs_size() != 1 || head->outputs_size() != 2 || !IsState(head->input(0), state))
    return trm_fail(TRM_MODEL_ENDS, kHead, 1);
  const TfLiteTensor *logits = head->output(0), *q = head->output(1);
  if (!IsMatrix(logits) || !IsMatrix(q) || FromLast(q, 0) != 2 || FromLast(q, 1) != 1)
    return trm_fail(TRM_MODEL_ENDS, kHead, 1);
  if (!SameScale(networks.graphs[kUpdateH]->output(0), head->input(0)))
    return trm_fail(TRM_CARRY_RANGES, kHead, 0);
  return trm_fine();
}

void *Injection(void *, trm_role role) { return networks.graphs[role]->input(1)->data.raw; }

trm_status Apply(void *, trm_role role, void *z) {
  tflite::MicroInterpreter *graph = networks.graphs[role];
  TfLiteTensor *in = graph->input(0), *out = graph->output(0);
  std::memcpy(in->data.raw, z, in->bytes);
  if (graph->Invoke() != kTfLiteOk) return trm_fail(TRM_INVOKE, role, 0);
  std::memcpy(z, out->data.raw, out->bytes);
  return trm_fine();
}

/* (q - zero_point) * scale keeps the order of different q exactly: both fit a float32. */
float RealAt(const TfLiteTensor *tensor, int i) {
  if (tensor->type == kTfLiteFloat32) return tensor->data.f[i];
  int32_t q = tensor->type == kTfLiteInt16 ? tensor->data.i16[i] : tensor->data.int8[i];
  return static_cast<float>(q - tensor->params.zero_point) * tensor->params.scale;
}

trm_status ReadOut(void *, const void *z_H, trm_outputs *outputs) {
  tflite::MicroInterpreter *head = networks.graphs[kHead];
  TfLiteTensor *in = head->input(0);
  std::memcpy(in->data.raw, z_H, in->bytes);
  if (head->Invoke() != kTfLiteOk) return trm_fail(TRM_INVOKE, kHead, 0);
  outputs->logits = head->output(0)->data.raw;
  outputs->q_halt = RealAt(head->output(1), 0);
  outputs->q_continue = RealAt(head->output(1), 1);
  return trm_fine();
}

uint32_t Parts(void *, const trm_part **found) { return parts->Tell(found); }

}  // namespace

trm_status trm_open_block(trm_block *block, const trm_rows *, trm_memory *) {
  trm_status status = OpenGraphs(g_package);
  if (status.code) return status;
  const TfLiteTensor *state = networks.graphs[kUpdateL]->input(0);
  status = CheckUpdate(kUpdateL, state);
  if (!status.code) status = CheckUpdate(kUpdateH, state);
  if (!status.code) status = CheckHead(state);
  if (status.code) return status;
  const TfLiteTensor *logits = networks.graphs[kHead]->output(0);
  *block = trm_block{};
  block->model_id = g_package.model_id;
  block->carry = static_cast<trm_type>(TypeOf(state));
  block->logits = static_cast<trm_type>(TypeOf(logits));
  block->positions = static_cast<uint32_t>(FromLast(state, 1));
  block->emb = static_cast<uint32_t>(FromLast(state, 0));
  block->seq = static_cast<uint32_t>(FromLast(logits, 1));
  block->vocab = static_cast<uint32_t>(FromLast(logits, 0));
  block->arena_bytes = static_cast<uint32_t>(networks.allocator->used_bytes());
  block->injection = Injection;
  block->apply = Apply;
  block->read_out = ReadOut;
  block->parts = Parts;
  return status;
}
