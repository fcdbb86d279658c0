// What every suspended coroutine waits for, and who awaits it: the stacks that a debugger cannot show.

#pragma once

#include <string>

namespace cove {

class cancel_scope;

// Lists everything that waits in a scope and below it: what it waits for, then, a line each, the frames that await one
// another from the innermost out, with the place of the co_await each is suspended at. Thread of the loop.
std::string async_stacks(const cancel_scope& scope);

// The same for all that waits in the loop that runs on this thread.
std::string async_stacks();

}  // namespace cove
