// What a byte stream is: tcp_stream and everything that can stand in its place.

#pragma once

#include <cove/net/buffer.hpp>
#include <cove/runtime/cancel_scope.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

namespace cove {

// Operations are awaited, and mean what they mean for tcp_stream: read gives 0, and receive an empty buffer, at the end;
// write writes everything; a canceled read has taken no bytes; `written` counts what was sent even so.
template <class S>
concept stream = std::movable<S> && requires(S& s, std::span<char> into, std::string_view data,
                                             std::span<const std::string_view> parts, std::size_t& written) {
    { s.read(into).await_resume() } -> std::same_as<std::size_t>;
    { s.receive().await_resume() } -> std::same_as<buffer>;
    { s.write(data).await_resume() } -> std::same_as<void>;
    { s.write(parts, written).await_resume() } -> std::same_as<void>;
    s.shutdown_write();
    { s.close_gracefully().await_resume() } -> std::same_as<void>;
    { s.close() } noexcept;
};

}  // namespace cove
