#ifndef FAKE_DEBUG_LOG_H
#define FAKE_DEBUG_LOG_H

#include <cstdarg>
#include <cstddef>

extern "C" {
void DebugLog(const char *format, va_list list);
int DebugVsnprintf(char *buffer, size_t room, const char *format, va_list list);
}

#endif
