// The calls of a kernel that can fail, and the errors that their man pages allow: what a sweep lets happen in turn.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cove::sim {

enum class call : unsigned char {
    socket,
    bind,
    listen,
    accept,
    connect,
    shutdown,
    local_address,
    peer_address,
    set_option,
    get_option,
    receive,
    send,
    send_message,
    create_pipe,
    receive_to_pipe,
    send_from_pipe,
    send_file,
    close,
    create_poller,
    control,
    wait,
    create_event,
    subscribe,
};

// Returns its name, as kernel.hpp has it.
const char* name_of(call what) noexcept;

// Returns the errors (of errno) that it may fail with although its arguments are right.
std::span<const int> errors_of(call what) noexcept;

// One call of a run that fails: the nth that any host makes, from 1; 0: none does.
struct failing_call {
    std::uint64_t nth = 0;
    int error = 0;
};

}  // namespace cove::sim
