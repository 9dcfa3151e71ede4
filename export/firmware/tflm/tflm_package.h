/* What a package (export/micro.py) gives the adapter: graphs, their order, model id, arena size.

   The package defines `g_package`; TRM_ARENA_BYTES and TRM_GRAPHS (trm_package.h); and
   RegisterOperators (trm_op_resolver.h). */
#ifndef TRM_TFLM_PACKAGE_H
#define TRM_TFLM_PACKAGE_H

#include <cstdint>

#include "../stages.h"

struct TflmSequence {
  const trm_stage *stages;
  uint32_t count;
};

/* A graph in flash: its .tflite, aligned to 16, and zlib's CRC-32 of it when it was packed. */
struct TflmGraph {
  const unsigned char *data;
  uint32_t bytes, crc;
};

struct TflmPackage {
  const uint8_t *model_id; /* SHA-256 of the files of all graphs, in order */
  const TflmGraph *graphs; /* TRM_GRAPHS of them; the last is the head */
  TflmSequence updates[2]; /* of z_L and of z_H; of TRM the same */
};

extern const TflmPackage g_package;

#endif
