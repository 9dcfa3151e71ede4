/* What a package (export/micro.py) gives the adapter: graphs, model id, arena size.

   The package defines `g_package` and TRM_ARENA_BYTES (trm_package.h) and RegisterOperators
   (trm_op_resolver.h). */
#ifndef TRM_TFLM_PACKAGE_H
#define TRM_TFLM_PACKAGE_H

#include <cstdint>

struct TflmPackage {
  const uint8_t *model_id;       /* SHA-256 of the file of the graph that updates z_L */
  const unsigned char *update_L; /* .tflite bytes, aligned to 16 */
  const unsigned char *update_H; /* the same pointer where one network does both (TRM) */
  const unsigned char *head;
};

extern const TflmPackage g_package;

#endif
