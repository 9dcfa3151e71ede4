/* The networks in TensorFlow Lite for Microcontrollers, behind block.h.

   Graphs (export/lowering/model.py): update   z, injection -> z        head   z_H -> logits, q
   or a sequence of graphs for the update (export/lowering/stages.py), which ../stages.c runs.
   All share one arena: they run one after the other, so memory is that of the largest. An input
   tensor may be overwritten while its graph runs, hence z is copied in at every call. Objects are
   made in place (placement new): no heap, and no destructors at exit. */
#include "../block.h"
#include "../stages.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tflm_checks.h"
#include "tflm_package.h"
#include "tflm_kernels.h"
#include "tflm_parts.h"
#include "trm_package.h"

#include <cstring>
#include <new>

namespace {

constexpr uint32_t kHead = TRM_GRAPHS - 1;

struct Networks {
  tflite::MicroAllocator *allocator;
  tflite::MicroInterpreter *graphs[TRM_GRAPHS];
  trm_sequence updates[2];
};

alignas(16) __attribute__((section(".arena"))) uint8_t arena[TRM_ARENA_BYTES];
alignas(tflite::MicroInterpreter) uint8_t rooms[TRM_GRAPHS][sizeof(tflite::MicroInterpreter)];
alignas(TflmResolver) uint8_t resolver_room[sizeof(TflmResolver)];
alignas(TflmParts) uint8_t parts_room[sizeof(TflmParts)];
TflmParts *parts;
Networks networks;

trm_status OpenGraph(uint32_t index, const TflmResolver &resolver) {
  const TflmGraph &graph = g_package.graphs[index];
  /* before anything reads it: a flatbuffer is full of offsets */
  if (trm_crc32(0, graph.data, graph.bytes) != graph.crc)
    return trm_fail(TRM_GRAPH_DAMAGED, index, graph.crc);
  const tflite::Model *model = tflite::GetModel(graph.data);
  if (model->version() != TFLITE_SCHEMA_VERSION)
    return trm_fail(TRM_MODEL_VERSION, static_cast<uint32_t>(model->version()),
                    TFLITE_SCHEMA_VERSION);
  networks.graphs[index] = new (rooms[index]) tflite::MicroInterpreter(
      model, resolver, networks.allocator, nullptr, parts);
  if (networks.graphs[index]->AllocateTensors() != kTfLiteOk)
    return trm_fail(TRM_ARENA_TOO_SMALL, index, TRM_ARENA_BYTES);
  return trm_fine();
}

trm_status OpenGraphs() {
  TflmResolver *resolver = new (resolver_room) TflmResolver;
  parts = new (parts_room) TflmParts;
  int refused = RegisterOperators(*resolver);
  if (refused)
    return trm_fail(TRM_MODEL_OPERATORS, static_cast<uint32_t>(refused), TRM_OPERATORS);
  networks.allocator = tflite::MicroAllocator::Create(arena, sizeof arena);
  if (!networks.allocator) return trm_fail(TRM_ARENA_TOO_SMALL, 0, TRM_ARENA_BYTES);
  trm_status status = trm_fine();
  for (uint32_t i = 0; i < TRM_GRAPHS && !status.code; i++) status = OpenGraph(i, *resolver);
  return status;
}

trm_end EndOf(const TfLiteTensor *tensor) {
  return trm_end{tensor->data.raw, static_cast<uint32_t>(FromLast(tensor, 1)),
                 static_cast<uint32_t>(FromLast(tensor, 0)),
                 trm_size(static_cast<trm_type>(TypeOf(tensor)))};
}

trm_end InputOf(void *, uint32_t graph, uint32_t i) {
  return EndOf(networks.graphs[graph]->input(i));
}

trm_end OutputOf(void *, uint32_t graph, uint32_t i) {
  return EndOf(networks.graphs[graph]->output(i));
}

trm_status Run(void *, uint32_t graph) {
  return networks.graphs[graph]->Invoke() == kTfLiteOk ? trm_fine() : trm_fail(TRM_INVOKE, graph, 0);
}

const trm_graphs GRAPHS = {nullptr, InputOf, OutputOf, Run};

/* Where one graph is all, the injection is written straight into its tensor. */
void PlanUpdate(int role, void *work) {
  const TflmSequence &sequence = g_package.updates[role];
  const TfLiteTensor *state = networks.graphs[kHead]->input(0);
  if (sequence.count == 1)
    work = networks.graphs[sequence.stages[0].graph]->input(1)->data.raw;
  networks.updates[role] = trm_sequence{
      sequence.stages, sequence.count, static_cast<uint32_t>(FromLast(state, 1)),
      static_cast<uint32_t>(FromLast(state, 0)), work};
}

void *Injection(void *, trm_role role) { return networks.updates[role].work; }

trm_status Apply(void *, trm_role role, void *z) {
  return trm_run_stages(&networks.updates[role], &GRAPHS, z);
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

trm_status CheckGraphs(const TfLiteTensor *state) {
  TflmWalk walks[] = {{networks.graphs, state}, {networks.graphs, state}};
  trm_status status = trm_fine();
  for (int role = 0; role < 2 && !status.code; role++)
    status = walks[role].Check(g_package.updates[role]);
  return status.code ? status
                     : CheckHead(networks.graphs[kHead], kHead, walks[TRM_UPDATE_H].z());
}

/* Where the graphs of an update meet: nothing, or one state for both roles. */
trm_status TakeWork(trm_memory *memory) {
  void *work = nullptr;
  trm_status status = trm_fine();
  if (TRM_WORK_BYTES) status = trm_take(memory, TRM_WORK_BYTES, &work);
  for (int role = 0; role < 2; role++) PlanUpdate(role, work);
  return status;
}

}  // namespace

trm_status trm_open_block(trm_block *block, const trm_rows *, trm_memory *memory) {
  trm_status status = OpenGraphs();
  if (status.code) return status;
  tflite::MicroInterpreter *head = networks.graphs[kHead];
  if (head->inputs_size() != 1 || head->outputs_size() != 2 || !IsMatrix(head->input(0)))
    return trm_fail(TRM_MODEL_ENDS, kHead, 1);
  const TfLiteTensor *state = head->input(0), *logits = head->output(0);
  status = CheckGraphs(state);
  if (!status.code) status = TakeWork(memory);
  if (status.code) return status;
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
