/* The line protocol: a puzzle in; solution, steps and ticks out. Lines and their checksums are
   here, what a request does in commands.h.

   Lines are printable ASCII and end in \n (a \r before it is ignored). Every line of the device ends in
   ` *XXXXXXXX`, the CRC-32 of what stands before the blank, as eight lowercase hexadecimal
   digits; a line to the device may end so too and is then checked. Tokens are single characters,
   0-9 then a-z for 0 to 35; a puzzle may also come as people write it (notation.h), and its
   answer then does.

     info                              info seq=81 vocab=11 ids=1 emb=512 positions=97 type=int16
                                        model=1f2e3d4c rows=5e6f7a8b state_bytes=198656
                                        arena_bytes=993280 stack_used=1976 vectors=4
                                        ticks_per_second=32000000
     set [H=3] [L=6] [steps=16] [halt=never|q[:B]|qc[:B]|rules|unchanged[:K]] [progress=0|1]
                                       set H=3 L=6 steps=16 halt=rules progress=1
     solve ID TOKENS                   solved steps=5 halted=1 q_bits=3f800000 saturated=0
                                        states=0badcafe,0badcafe ticks=123456 tokens=2345...
     solve ID 53..7....                solved ... answer=534678912...
     (where the core counts them)       solved ... ticks=123456 cycles=123456 ...
     (with progress=1, before it)      step 3 of 16
     once ID TOKENS                    once update_L=123456 update_H=123456 read_out=1234
                                        states=0badcafe,0badcafe
     test                              vector 0 passed ...; tested 4 failed 0 ticks=123456
     profile                           part CONV_2D calls=8 ticks=123456; parts 9
     quit                              bye
     anything that cannot be done      error CODE words
     (a fault of the processor)        error 90 processor fault exception=3 pc=... and registers;
                                        then the board stops
     (the watchdog)                    error 91 the watchdog saw no update end in time ...;
                                        then the board starts again
     (a start after a solve was cut)   lost puzzle=0 steps=3

   `once` updates z_L and then z_H once, from their initial values, and reads out: what a puzzle
   repeats, in ticks. `profile` tells what the operators of every graph took since the start, by
   kind; a TFLM built with TF_LITE_STRIP_ERROR_STRINGS does not say.
   A Ctrl-C (the byte 3) during `solve` or `test` ends it between two updates: error 53. What
   else comes meanwhile is kept, 4,096 bytes of it, and answered afterwards; more
   is lost, and the next line is refused with error 54: it may be the end of a lost one.
   q_bits is q_halt's float32 as bits; states the CRC-32 of z_H and z_L: equal numbers mean equal
   bits on any machine. */
#ifndef TRM_PROTOCOL_H
#define TRM_PROTOCOL_H

#include "loop.h"
#include "text.h"
#include "vectors.h"

typedef struct {
  trm_machine *machine;
  const trm_vectors *vectors; /* with what `vectors_status` says about them */
  trm_status vectors_status;
  trm_depth depth;
  int progress; /* tell every supervision step of a solve */
  uint32_t id;  /* of the puzzle that is being solved */
  char *line; /* of `room` characters, used for requests and replies in turn */
  uint32_t room;
} trm_session;

/* Characters that any request or reply of a model needs. */
uint32_t trm_line_room(uint32_t seq);

/* Do what a line asks and write the reply; an error is returned, not written. */
typedef trm_status (*trm_answer_function)(trm_session *session, const char *line);

/* Answer lines until `quit` or the end of the input. */
void trm_serve(trm_session *session, trm_answer_function answer);

/* An empty reply in the session's line; the request in it is overwritten. */
trm_text trm_reply(trm_session *session);

/* Write one line and its checksum. */
void trm_send(const trm_text *text);

/* Write one line with an error; also for errors before a session could start. */
void trm_report(trm_status status);

#endif
