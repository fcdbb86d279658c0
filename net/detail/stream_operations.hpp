// Reading from and writing to stream sockets: one class per operation, each the awaitable itself.

#pragma once

#include <cove/net/buffer.hpp>
#include <cove/net/detail/socket_operation.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace cove::detail {

class [[nodiscard]] read_operation final : public socket_operation<read_operation, std::size_t> {
public:
    read_operation(descriptor& socket, char* data, std::size_t size_bytes) noexcept
        : socket_operation(socket, direction::read), data_(data), size_(size_bytes) {}

    bool await_ready() const noexcept { return size_ == 0; }
    std::size_t give(long done) const noexcept { return static_cast<std::size_t>(done); }

private:
    friend io_waiter;
    const char* name() const noexcept override { return "read"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    char* data_;
    std::size_t size_;
};

class [[nodiscard]] read_exactly_operation final : public socket_operation<read_exactly_operation, void> {
public:
    // Part of it may be done before its end: see select.
    static constexpr bool selectable = false;

    read_exactly_operation(descriptor& socket, char* data, std::size_t size_bytes, std::size_t* got) noexcept
        : socket_operation(socket, direction::read), data_(data), size_(size_bytes), got_(got) {
        if (got_ != nullptr) *got_ = 0;
    }

    bool await_ready() const noexcept { return size_ == 0; }
    void give(long) const noexcept {}

private:
    friend io_waiter;
    const char* name() const noexcept override { return "read_exactly"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    char* data_;
    std::size_t size_;
    std::size_t done_ = 0;
    std::size_t* got_;
};

class [[nodiscard]] receive_operation final : public socket_operation<receive_operation, buffer> {
public:
    explicit receive_operation(descriptor& socket) noexcept : socket_operation(socket, direction::read) {}
    receive_operation(const receive_operation& other) noexcept : socket_operation(other) {}
    ~receive_operation() {
        if (received_ != nullptr) buffer::give_back(received_);
    }

    buffer give(long size_bytes) noexcept {
        return {std::exchange(received_, nullptr), static_cast<std::size_t>(size_bytes)};
    }

private:
    friend io_waiter;
    const char* name() const noexcept override { return "receive"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    char* received_ = nullptr;  // a buffer's block, once it has bytes
};

class [[nodiscard]] write_operation final : public socket_operation<write_operation, void> {
public:
    // Part of it may be done before its end: see select.
    static constexpr bool selectable = false;

    write_operation(descriptor& socket, std::string_view data, std::size_t* written) noexcept
        : socket_operation(socket, direction::write), data_(data), written_(written) {
        if (written_ != nullptr) *written_ = 0;
    }

    bool await_ready() const noexcept { return data_.empty(); }
    void give(long) const noexcept {}

private:
    friend io_waiter;
    const char* name() const noexcept override { return "write"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    std::string_view data_;
    std::size_t* written_;
};

class [[nodiscard]] write_some_operation final : public socket_operation<write_some_operation, std::size_t> {
public:
    write_some_operation(descriptor& socket, std::string_view data) noexcept
        : socket_operation(socket, direction::write), data_(data) {}

    bool await_ready() const noexcept { return data_.empty(); }
    std::size_t give(long done) const noexcept { return static_cast<std::size_t>(done); }

private:
    friend io_waiter;
    const char* name() const noexcept override { return "write_some"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    std::string_view data_;
};

class [[nodiscard]] write_vector_operation final : public socket_operation<write_vector_operation, void> {
public:
    // Part of it may be done before its end: see select.
    static constexpr bool selectable = false;

    write_vector_operation(descriptor& socket, std::span<const std::string_view> parts, std::size_t* written) noexcept
        : socket_operation(socket, direction::write), parts_(parts), written_(written) {
        if (written_ != nullptr) *written_ = 0;
        skip(0);
    }

    bool await_ready() const noexcept { return parts_.empty(); }
    void give(long) const noexcept {}

private:
    friend io_waiter;
    const char* name() const noexcept override { return "write"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;
    // Moves on by what was sent, and past parts that are empty.
    void skip(std::size_t sent_bytes) noexcept;

    std::span<const std::string_view> parts_;  // what is left; of the first one, from offset_ on
    std::size_t offset_ = 0;
    std::size_t* written_;
};

class [[nodiscard]] send_file_operation final : public socket_operation<send_file_operation, void> {
public:
    // Part of it may be done before its end: see select.
    static constexpr bool selectable = false;

    send_file_operation(descriptor& socket, int file_fd, std::uint64_t offset, std::uint64_t size_bytes,
                        std::uint64_t* written) noexcept
        : socket_operation(socket, direction::write),
          file_(file_fd),
          offset_(offset),
          left_(size_bytes),
          written_(written) {
        if (written_ != nullptr) *written_ = 0;
    }

    bool await_ready() const noexcept { return left_ == 0; }
    void give(long) const noexcept {}

private:
    friend io_waiter;
    const char* name() const noexcept override { return "send_file"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;

    int file_;
    std::uint64_t offset_;
    std::uint64_t left_;
    std::uint64_t* written_;
};

}  // namespace cove::detail
