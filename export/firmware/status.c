#include "status.h"

static const char *const WORDS[TRM_STATUS_COUNT] = {
    [TRM_OK] = "fine",
    [TRM_NO_ROW_FILE] =
        "no row file in flash: it must begin with TRMROWS1; load the package's flash.bin",
    [TRM_ROW_FILE_SIZE] =
        "row file says %g bytes, flash has room for %w; enlarge DATA in the linker script",
    [TRM_ROW_FILE_DAMAGED] = "row file damaged: checksum %G, stored %W; load flash.bin again",
    [TRM_ROW_FILE_FIELD] =
        "row file: the value %g at byte %w is not supported; write it again with this version",
    [TRM_ROW_DAMAGED] = "row of puzzle %g damaged (stored checksum %w); load flash.bin again",
    [TRM_NO_VECTOR_FILE] =
        "no test vectors behind the row file: they must begin with TRMVECT2; load flash.bin",
    [TRM_VECTOR_FILE_DAMAGED] =
        "test vectors damaged: checksum %G, stored %W; load flash.bin again",
    [TRM_VECTOR_FILE_FIELD] =
        "test vectors: the value %g at byte %w is not supported; write them again",
    [TRM_OTHER_MODEL] =
        "flash is for another model: its id begins %G, this firmware's %W; load flash.bin and"
        " firmware of one package",
    [TRM_GRAPH_DAMAGED] =
        "graph %g damaged in flash: its checksum is not the package's %W; load the firmware again",
    [TRM_NO_ROOM] = "states need %g more bytes than the %w given; raise STATE_BYTES",
    [TRM_OTHER_SHAPE] =
        "row file and model differ in size: %g against %w; load flash.bin of this model's package",
    [TRM_OTHER_TYPE] =
        "row file and model differ in number type: %g against %w (0 float32, 1 int16, 2 int8)",
    [TRM_MODEL_VERSION] = "model of schema version %g, TFLM reads %w; export it again",
    [TRM_MODEL_OPERATORS] =
        "operator %g of %w could not be registered; the TFLM library lacks it or is older",
    [TRM_ARENA_TOO_SMALL] =
        "TFLM could not place graph %g in an arena of %w bytes; raise TRM_ARENA_BYTES",
    [TRM_MODEL_ENDS] =
        "graph %g has other inputs or outputs than expected (%w); export it with export.lowering.model",
    [TRM_CARRY_RANGES] =
        "graph %g: its states have other scales than those of the graphs around it; export all of"
        " them together",
    [TRM_STAGE_FIELDS] =
        "stage %g of an update names no graph or place that there is, or has other than 1 or 2"
        " inputs; write the package again (graphs: %w)",
    [TRM_INVOKE] = "TFLM failed in graph %g",
    [TRM_LINE_TOO_LONG] = "line longer than %w characters",
    [TRM_CHECKSUM] = "the line's checksum is %W, not what it says: send it again",
    [TRM_UNKNOWN_COMMAND] = "unknown command; known: info, set, solve, once, test, profile, quit",
    [TRM_BAD_SETTING] = "unknown setting; known: H=1.. L=1.. steps=1.. halt=never|q[:B]|qc[:B]|rules|"
        "unchanged[:K] progress=0|1",
    [TRM_NO_RULES] = "flash does not say what the puzzles are, so no rules are known: use another halt",
    [TRM_DEPTH_RANGE] = "H, L and steps must be 1 to %w, got %g",
    [TRM_BAD_NUMBER] = "not a number; say: solve PUZZLE_ID TOKENS (or once)",
    [TRM_PUZZLE_ID] = "no puzzle row %g, flash has %w rows (the first is 0)",
    [TRM_PUZZLE_SIZE] = "puzzle of %g cells, this model takes %w; send one character 0-9a-z a cell",
    [TRM_BAD_TOKEN] = "cell %g holds no token of this model; tokens are the first %w of 0-9a-z",
    [TRM_BAD_CHARACTER] =
        "the line has the byte %g, lines are ASCII characters 32 to %w: send it again",
    [TRM_BAD_SYMBOL] =
        "cell %g holds no symbol of this puzzle; Sudoku: . or 0 for blanks, 1-9, A-Z; mazes: # wall,"
        " . free, S, G",
    [TRM_STOPPED] = "stopped by Ctrl-C after %g of %w steps",
    [TRM_INPUT_LOST] =
        "more came than the console keeps, and the rest was lost: send less at a time, this line again",
    [TRM_NO_ARGUMENTS] = "info, test, profile and quit stand alone on their line: send it again",
};

const char *trm_words(trm_code code) {
  int known = (unsigned)code < TRM_STATUS_COUNT && WORDS[code]; /* there are gaps */
  return known ? WORDS[code] : "unknown code";
}
