// How cove reports what went wrong: std::system_error with the operation and the address in what(), cove's own
// codes for what errno has no name for, and `canceled`, which is deliberately not an error.

#pragma once

#include <cove/runtime/clock.hpp>

#include <source_location>
#include <string>
#include <string_view>
#include <system_error>

namespace cove {

// Conditions that have no errno.
enum class errc {
    end_of_stream = 1,  // the stream ended before all that was asked for had come
    closed,             // the descriptor was closed, by another coroutine or before the call
    busy,               // another coroutine already waits for the same direction of this descriptor
    line_too_long,      // no newline within the bound of a line_reader
    invalid_address,    // a text that names no address
    deadlock,           // everything waits, and nothing can ever wake it
    timed_out,          // an operation did not finish within its time
    too_slow,           // a peer was disconnected because it did not read what was queued for it
};

const std::error_category& error_category() noexcept;

inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), error_category()}; }

// Who canceled a scope, and where in the program.
struct cancel_reason {
    const char* what = nullptr;         // "timeout", "cancel()", "SIGINT"; a literal
    duration limit = duration::zero();  // of a timeout
    std::source_location where = {};    // line 0: nowhere

    // Returns "canceled by timeout(5s) at server.cpp:41".
    std::string to_string() const;
};

// Thrown out of every wait in a canceled scope. Not a std::exception, so that a handler for errors never swallows it;
// let it pass, or catch it to clean up and throw it on.
class canceled final {
public:
    canceled() noexcept = default;
    explicit canceled(const cancel_reason& reason) noexcept : reason_(reason) {}

    const cancel_reason& reason() const noexcept { return reason_; }
    std::string what() const { return reason_.to_string(); }

private:
    cancel_reason reason_;
};

// Thrown by timeout() and timeout_at() when the time is over.
class timed_out : public std::system_error {
public:
    explicit timed_out(duration limit);
    timed_out();  // by a deadline
};

namespace detail {

// An operation's raw outcome: zero or more is its result, -errno an error of the kernel, and below that errors of
// cove's own, so that one integer carries all three through the hot path.
constexpr long own_error_base = 1L << 24;
constexpr long raw(errc code) noexcept { return -(own_error_base + static_cast<long>(code)); }
std::error_code to_error_code(long outcome) noexcept;

// Throws std::system_error with "operation subject" in front of the reason; subject may be empty.
[[noreturn]] void throw_error(std::error_code code, const char* operation, const std::string& subject);

// Return the last part of a path, and the bare name in what a compiler calls a function.
std::string_view file_name(std::string_view path) noexcept;
std::string_view bare_name(std::string_view name) noexcept;

// Stops the process, naming the rule that the caller broke.
[[noreturn]] void misuse(const char* rule, std::source_location where = std::source_location::current()) noexcept;

}  // namespace detail
}  // namespace cove

template <>
struct std::is_error_code_enum<cove::errc> : std::true_type {};
