#ifndef FAKE_PROFILER_H
#define FAKE_PROFILER_H

#include <cstdint>

namespace tflite {

class MicroProfilerInterface {
 public:
  virtual ~MicroProfilerInterface() {}
  virtual uint32_t BeginEvent(const char *tag) = 0;
  virtual void EndEvent(uint32_t handle) = 0;
};

}  // namespace tflite

#endif
