// A worker alone, for tests: their own program cannot be started as one.
#include "cardloom/server/picture_workers.h"

int main() { return cardloom::server::run_picture_worker(); }
