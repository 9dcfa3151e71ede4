/* The requests of the line protocol, one function each (their words: protocol.h). */
#ifndef TRM_COMMANDS_H
#define TRM_COMMANDS_H

#include "protocol.h"

/* The protocol's answer function (trm_answer_function) for these requests. */
trm_status trm_answer(trm_session *session, const char *line);

#endif
