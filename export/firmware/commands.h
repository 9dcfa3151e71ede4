/* The requests of the line protocol, one function each (their words: protocol.h). */
#ifndef TRM_COMMANDS_H
#define TRM_COMMANDS_H

#include "protocol.h"

/* Do what a line asks and write the reply; an error is returned, not written. */
trm_status trm_answer(trm_session *session, const char *line);

#endif
