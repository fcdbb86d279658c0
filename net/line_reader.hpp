// Reading a stream line by line, with a bound on what a peer can make us keep.

#pragma once

#include <cove/net/stream.hpp>
#include <cove/runtime/attributes.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/task.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cove {

// Cuts a stream into lines. While it waits for a line's beginning it holds no memory.
// Concurrency: one read_line() at a time. Lifetime: the stream must outlive it.
template <stream Stream>
class line_reader {
public:
    explicit line_reader(Stream& from COVE_LIFETIMEBOUND, std::size_t length_max = 8192) noexcept
        : from_(from), length_max_(length_max) {}

    // Reads the next line, without its "\n" or "\r\n".
    // Result: a view that is valid until the next call; nothing at the end of the stream.
    // Throws: errc::line_too_long for a line of more than length_max bytes (then the stream cannot be read further by
    // lines); errc::end_of_stream when the stream ends in the middle of a line (see partial()); what receive() throws.
    // Cancellation: nothing is lost; the next call goes on where this one was.
    task<std::optional<std::string_view>> read_line() {
        if (line_was_carried_) carry_.clear();
        line_was_carried_ = false;
        for (;;) {
            const std::size_t newline = rest_.find('\n');
            const std::size_t length = carry_.size() + (newline == rest_.npos ? rest_.size() : newline);
            if (length > length_max_ && length - length_max_ > 1) throw_too_long();  // one more, for a '\r'
            if (newline != rest_.npos) co_return take_line(newline);
            carry_ += rest_;
            rest_ = {};
            received_ = buffer();
            received_ = co_await from_.receive();
            rest_ = received_.view();
            if (received_) continue;
            if (carry_.empty()) co_return std::nullopt;
            throw std::system_error(errc::end_of_stream,
                                    "read_line: after " + std::to_string(carry_.size()) + " bytes of a line");
        }
    }

    // What has come of a line whose end has not; after errc::end_of_stream, the last, unfinished line.
    std::string_view partial() const noexcept { return line_was_carried_ ? std::string_view() : carry_; }

private:
    std::string_view take_line(std::size_t newline) {
        std::string_view line = rest_.substr(0, newline);
        rest_.remove_prefix(newline + 1);
        if (!carry_.empty()) {
            line = carry_ += line;
            line_was_carried_ = true;
        }
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.size() > length_max_) throw_too_long();
        return line;
    }

    [[noreturn]] void throw_too_long() const {
        throw std::system_error(errc::line_too_long, "read_line: more than " + std::to_string(length_max_) + " bytes");
    }

    Stream& from_;
    std::size_t length_max_;
    buffer received_;
    std::string_view rest_;  // of what was received, the part that is not yet given out
    std::string carry_;      // the beginning of a line whose end was not in the same buffer
    bool line_was_carried_ = false;
};

}  // namespace cove
