/* What TFLM asks of a platform: messages, time, and no heap.

   Messages go to the console, every line after `# `: a client of the line protocol skips them.
   The formatter knows what TFLM's messages use (%d %i %u %x %s %c %p, l and z before them) and
   prints anything else as it stands; newlib's printf may ask for a heap. */
#include "tensorflow/lite/micro/debug_log.h"
#include "tensorflow/lite/micro/micro_time.h"

#include <cstddef>
#include <cstdint>

#include "../board.h"

namespace {

struct Sink {
  char *at; /* nullptr: the console */
  size_t room, used;
};

bool begin_of_line = true;

void Put(Sink &sink, char c) {
  if (sink.at) {
    if (sink.used + 1 < sink.room) sink.at[sink.used] = c;
  } else {
    if (begin_of_line) {
      board_write('#');
      board_write(' ');
    }
    begin_of_line = c == '\n';
    board_write(c);
  }
  sink.used++;
}

void PutNumber(Sink &sink, unsigned long number, unsigned base) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number);
  while (count) Put(sink, digits[--count]);
}

void PutSigned(Sink &sink, long number) {
  if (number < 0) Put(sink, '-');
  /* negated as unsigned: the smallest number has no positive counterpart */
  unsigned long size = static_cast<unsigned long>(number);
  PutNumber(sink, number < 0 ? 0ul - size : size, 10);
}

struct Arguments {
  va_list list;
};

void PutArgument(Sink &sink, char kind, bool is_long, Arguments &arguments) {
  if (kind == 'd' || kind == 'i') {
    PutSigned(sink, is_long ? va_arg(arguments.list, long) : va_arg(arguments.list, int));
  } else if (kind == 'u' || kind == 'x') {
    unsigned long number = is_long ? va_arg(arguments.list, unsigned long)
                                   : va_arg(arguments.list, unsigned int);
    PutNumber(sink, number, kind == 'x' ? 16 : 10);
  } else if (kind == 'p') {
    PutNumber(sink, reinterpret_cast<uintptr_t>(va_arg(arguments.list, void *)), 16);
  } else if (kind == 'c') {
    Put(sink, static_cast<char>(va_arg(arguments.list, int)));
  } else if (kind == 's') {
    const char *text = va_arg(arguments.list, const char *);
    while (text && *text) Put(sink, *text++);
  } else {
    Put(sink, '%');
    if (kind && kind != '%') Put(sink, kind);
  }
}

void Format(Sink &sink, const char *format, Arguments &arguments) {
  for (; *format; format++) {
    if (*format != '%') {
      Put(sink, *format);
      continue;
    }
    bool is_long = false;
    format++;
    while (*format == 'l' || *format == 'z') {
      is_long = true;
      format++;
    }
    PutArgument(sink, *format, is_long, arguments);
    if (!*format) return;
  }
}

}  // namespace

extern "C" void DebugLog(const char *format, va_list list) {
  Sink sink = {nullptr, 0, 0};
  Arguments arguments;
  va_copy(arguments.list, list);
  Format(sink, format, arguments);
  va_end(arguments.list);
}

extern "C" int DebugVsnprintf(char *buffer, size_t room, const char *format, va_list list) {
  Sink sink = {buffer, room, 0};
  Arguments arguments;
  va_copy(arguments.list, list);
  Format(sink, format, arguments);
  va_end(arguments.list);
  if (room) buffer[sink.used < room ? sink.used : room - 1] = 0;
  return static_cast<int>(sink.used);
}

/* TFLM's virtual destructors name these, and nothing ever calls them: objects live to the end.
   Without them the linker would take the library's, and with those a heap. */
void operator delete(void *) noexcept { __builtin_trap(); }

void operator delete(void *, std::size_t) noexcept { __builtin_trap(); }

extern "C" [[noreturn]] void __cxa_pure_virtual() { __builtin_trap(); }

#ifdef __arm__
/* newlib's own would bring stdio and signals, which take a heap; a trap shows as a fault */
extern "C" [[noreturn]] void abort() { __builtin_trap(); }

extern "C" [[noreturn]] void __assert_func(const char *, int, const char *, const char *) {
  __builtin_trap();
}
#endif

namespace tflite {

uint32_t ticks_per_second() { return board_ticks_per_second(); }

uint32_t GetCurrentTimeTicks() { return static_cast<uint32_t>(board_ticks()); }

}  // namespace tflite
