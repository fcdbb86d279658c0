// TCP: listeners and streams.

#pragma once

#include <cove/net/address.hpp>
#include <cove/net/buffer.hpp>
#include <cove/net/detail/stream_operations.hpp>
#include <cove/runtime/attributes.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cove {

namespace detail {
class connect_operation;
class accept_operation;
}  // namespace detail

// A TCP connection.
//
// One coroutine may read while another writes; a second reader, or writer, gets errc::busy. Closing the stream, from
// any coroutine, ends what waits on it with errc::closed. A stream may be moved while operations wait on it.
//
// Every operation throws std::system_error for what the kernel reports: ECONNRESET when the peer has reset the
// connection (data that came before is still read first), EPIPE when writing to a peer that has gone (SIGPIPE is never
// raised), ETIMEDOUT when it has vanished. See tcp(7).
// Concurrency: the thread of its loop.
class tcp_stream {
public:
    // Takes a connected, non-blocking socket.
    explicit tcp_stream(descriptor socket) noexcept : socket_(std::move(socket)) {}

    // Connects to a peer, given as an address or as address::parse() reads it.
    // Result: the stream, with Nagle's algorithm off. Throws: ECONNREFUSED, also for a socket that the kernel has
    // connected to itself; ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EAGAIN (out of routes); EMFILE;
    // errc::invalid_address.
    // Cancellation: the socket is closed. The kernel's own limit is two minutes: use timeout(). See connect(2).
    static detail::connect_operation connect(const address& peer) noexcept;
    static detail::connect_operation connect(std::string_view peer);

    // Reads what is there, waiting until there is something.
    // Result: how many bytes, at least 1, or 0 when the peer has finished sending, or at once for an empty span.
    // Cancellation: no bytes have been taken. Lifetime: the span must outlive the await. See recv(2).
    detail::read_operation read(std::span<char> into COVE_LIFETIMEBOUND) noexcept {
        return {socket_, into.data(), into.size()};
    }
    detail::read_operation read(std::span<std::byte> into COVE_LIFETIMEBOUND) noexcept {
        return {socket_, reinterpret_cast<char*>(into.data()), into.size()};
    }

    // Reads until the span is full. Throws: errc::end_of_stream when the peer has finished sending before that.
    // Cancellation and errors: bytes may have been taken; `got`, kept up to date all along, says how many.
    detail::read_exactly_operation read_exactly(std::span<char> into COVE_LIFETIMEBOUND) noexcept {
        return {socket_, into.data(), into.size(), nullptr};
    }
    detail::read_exactly_operation read_exactly(std::span<char> into COVE_LIFETIMEBOUND,
                                                std::size_t& got COVE_LIFETIMEBOUND) noexcept {
        return {socket_, into.data(), into.size(), &got};
    }

    // As read(), into memory that is taken from a pool only once there are bytes: an idle connection holds no buffer.
    // Result: up to buffer::capacity bytes; an empty buffer when the peer has finished sending.
    detail::receive_operation receive() noexcept { return detail::receive_operation(socket_); }

    // Writes all of the bytes: of one view, or of several, in order, with as few system calls as possible.
    // Cancellation and errors: some of the bytes may have been sent; `written`, kept up to date all along, says how
    // many. Lifetime: the bytes, and the span of views, must outlive the await. See send(2).
    detail::write_operation write(std::string_view data COVE_LIFETIMEBOUND) noexcept {
        return {socket_, data, nullptr};
    }
    detail::write_operation write(std::string_view data COVE_LIFETIMEBOUND,
                                  std::size_t& written COVE_LIFETIMEBOUND) noexcept {
        return {socket_, data, &written};
    }
    detail::write_operation write(std::span<const std::byte> data COVE_LIFETIMEBOUND) noexcept {
        return write({reinterpret_cast<const char*>(data.data()), data.size()});
    }
    detail::write_vector_operation write(std::span<const std::string_view> parts COVE_LIFETIMEBOUND) noexcept {
        return {socket_, parts, nullptr};
    }
    detail::write_vector_operation write(std::span<const std::string_view> parts COVE_LIFETIMEBOUND,
                                         std::size_t& written COVE_LIFETIMEBOUND) noexcept {
        return {socket_, parts, &written};
    }

    // Writes as much as the kernel takes, waiting until it takes something.
    // Result: how many bytes, at least 1 (0 for no bytes). Cancellation: nothing has been sent.
    detail::write_some_operation write_some(std::string_view data COVE_LIFETIMEBOUND) noexcept {
        return {socket_, data};
    }

    // Writes bytes of an open file, from an offset on, without copying them into the program. The file's own position does
    // not matter and stays as it is.
    // Throws: errc::end_of_stream when the file ends before that; EINVAL or ESPIPE for what is no file, such as
    // a socket; EBADF; EIO. Cancellation and errors: some of the bytes may have been sent; `written`, kept up to date all along, says
    // how many. Concurrency: what the system does not have in memory is read from the disk while the loop's thread waits, up
    // to a megabyte before other coroutines have a turn; offload() a readahead(2) first where that is too long.
    // Lifetime: the descriptor must stay open during the await. See sendfile(2).
    detail::send_file_operation send_file(int file_fd, std::uint64_t offset, std::uint64_t size_bytes) noexcept {
        return {socket_, file_fd, offset, size_bytes, nullptr};
    }
    detail::send_file_operation send_file(int file_fd, std::uint64_t offset, std::uint64_t size_bytes,
                                          std::uint64_t& written COVE_LIFETIMEBOUND) noexcept {
        return {socket_, file_fd, offset, size_bytes, &written};
    }

    // Half-closes: the peer reads the end of the stream once it has read what was written. Reading goes on.
    // Throws: ENOTCONN when the connection is gone. See shutdown(2).
    void shutdown_write();

    // Closes at once. Where the peer's bytes have not all been read, or linger is 0, the kernel resets the connection,
    // and the peer may lose what was written last; close_gracefully() avoids that. Closing twice does nothing.
    void close() noexcept { socket_.close(); }
    bool is_open() const noexcept { return socket_.is_open(); }

    // Half-closes, reads and drops what the peer still sends until it closes too, for at most `patience` and a megabyte,
    // and closes; at once if another coroutine is reading. Throws nothing of the network's. Cancellation: closes at once,
    // and throws.
    task<> close_gracefully(duration patience = std::chrono::seconds(5));

    // Options, as tcp(7) and socket(7) have them. They throw std::system_error when the kernel refuses.
    void set_nodelay(bool on);
    void set_keep_alive(bool on, std::chrono::seconds idle = std::chrono::seconds(60),
                        std::chrono::seconds interval = std::chrono::seconds(10), int probes_max = 6);
    // How long close() may go on sending; zero makes it reset the connection. Negative: the kernel's default.
    void set_linger(std::chrono::seconds limit);
    // How many bytes beyond those it has sent the kernel takes before writing waits (TCP_NOTSENT_LOWAT); 0: the system's
    // default, usually no limit but the send buffer's. A small one keeps memory for slow readers small, and leaves room
    // for a last word once it is raised: see outbox::finish().
    void set_unsent_max(std::size_t size_bytes);
    void set_receive_buffer(std::size_t size_bytes);
    void set_send_buffer(std::size_t size_bytes);

    // The socket's addresses; empty ones once the connection is gone. See getsockname(2), getpeername(2).
    address local_address() const noexcept;
    address peer_address() const noexcept;

    // The descriptor, for options that have no name here. It stays the stream's.
    int native_handle() const noexcept { return socket_.number(); }

private:
    friend task<> pass_through(tcp_stream& from, tcp_stream& to, std::uint64_t& passed);

    descriptor socket_;
};

struct listen_options {
    listen_options() noexcept {}

    int backlog = 4096;         // SOMAXCONN; the kernel caps it at net.core.somaxconn
    bool reuse_address = true;  // SO_REUSEADDR: connections of an earlier run that linger do not matter
    bool reuse_port = false;    // SO_REUSEPORT: several listeners share the port
    bool dual_stack = true;     // an IPv6 listener takes IPv4 connections too
    bool nodelay = true;        // TCP_NODELAY, set here once and inherited by every accepted connection
};

// A socket that accepts TCP connections.
class tcp_listener {
public:
    // Binds and listens, on an address or on what address::parse() reads. Port 0 lets the kernel choose: see
    // local_address(). ":8080" is every address, IPv6 and IPv4, or IPv4 alone on a host without IPv6.
    // Throws: std::system_error, naming the address: EADDRINUSE, EACCES, EADDRNOTAVAIL; errc::invalid_address.
    static tcp_listener bind(const address& where, const listen_options& options = listen_options());
    static tcp_listener bind(std::string_view where, const listen_options& options = listen_options());

    // Waits for a connection and takes it. Connections that were reset before they could be taken are passed over.
    // Throws: EMFILE, ENFILE, ENOBUFS, ENOMEM, the connection still waiting to be taken (serve() deals with these);
    // errc::closed; EINVAL for a socket that does not listen. Cancellation: no connection has been taken.
    detail::accept_operation accept() noexcept;

    // Closes: an accept() that waits ends with errc::closed, and the kernel resets connections nobody has taken.
    void close() noexcept { socket_.close(); }
    bool is_open() const noexcept { return socket_.is_open(); }

    address local_address() const noexcept;
    int native_handle() const noexcept { return socket_.number(); }

    // Takes a listening, non-blocking socket.
    explicit tcp_listener(descriptor socket) noexcept : socket_(std::move(socket)) {}

private:
    descriptor socket_;
};

namespace detail {

class [[nodiscard]] connect_operation final : public socket_operation<connect_operation, tcp_stream> {
public:
    explicit connect_operation(const address& peer) noexcept
        : socket_operation(socket_, direction::write), peer_(peer) {}
    connect_operation(const connect_operation& other) noexcept : connect_operation(other.peer_) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return begin(awaiting.promise());
    }
    tcp_stream give(long) noexcept { return tcp_stream(std::move(socket_)); }

private:
    friend io_waiter;
    const char* name() const noexcept override { return "connect"; }
    bool begin(promise_base& frame);
    long try_once(kernel& os, int fd, bool& drained) noexcept;
    std::string subject() const override { return peer_.to_string(); }

    address peer_;
    descriptor socket_;
};

class [[nodiscard]] accept_operation final : public socket_operation<accept_operation, tcp_stream> {
public:
    explicit accept_operation(descriptor& listener) noexcept : socket_operation(listener, direction::read) {}

    tcp_stream give(long accepted) noexcept { return tcp_stream(descriptor(static_cast<int>(accepted))); }

private:
    friend io_waiter;
    const char* name() const noexcept override { return "accept"; }
    long try_once(kernel& os, int fd, bool& drained) noexcept;
    std::string subject() const override;
};

}  // namespace detail
}  // namespace cove
