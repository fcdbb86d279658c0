// What the tests of the net floor share: connected pairs, a watchdog, and errors as values.

#pragma once

#include <cove/net/tcp.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/timeout.hpp>

#include <support/test_kernel.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace test {

// Two ends of one connection over loopback.
struct stream_pair {
    stream_pair(cove::tcp_stream a, cove::tcp_stream b) noexcept : left(std::move(a)), right(std::move(b)) {}
    cove::tcp_stream left;   // the accepted one, unknown to epoll until it has to wait
    cove::tcp_stream right;  // the one that has connected, and waited for that
};

inline cove::task<stream_pair> connected_pair() {
    cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
    cove::tcp_stream right = co_await cove::tcp_stream::connect(listener.local_address());
    cove::tcp_stream left = co_await listener.accept();
    co_return stream_pair(std::move(left), std::move(right));
}

// A pair with the smallest buffers that the kernel allows. Of Unix sockets: TCP with a receive window below loopback's
// segment size sends by timers, some bytes every 200 ms.
inline stream_pair make_narrow_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        throw std::system_error(errno, std::generic_category());
    stream_pair made{cove::tcp_stream(cove::descriptor(ends[0])), cove::tcp_stream(cove::descriptor(ends[1]))};
    for (cove::tcp_stream* each : {&made.left, &made.right}) {
        each->set_send_buffer(1);
        each->set_receive_buffer(1);
    }
    return made;
}
inline cove::task<stream_pair> narrow_pair() { co_return make_narrow_pair(); }

// As narrow_pair(), over TCP, for a peer that resets the connection.
inline cove::task<stream_pair> narrow_tcp_pair() {
    stream_pair made = co_await connected_pair();
    for (cove::tcp_stream* each : {&made.left, &made.right}) {
        each->set_send_buffer(1);
        each->set_receive_buffer(1);
    }
    co_return std::move(made);
}

// Runs body(), a test's coroutine; one that hangs fails by timed_out.
template <class Body>
void within(Body body, test_kernel& os) {
    const auto watched = [](cove::task<> test, cove::duration limit) -> cove::task<> {
        co_await cove::timeout(limit, std::move(test));
    };
    run(watched(body(), os.jump ? cove::duration(std::chrono::hours(24)) : std::chrono::seconds(60)), os);
}

// On the real clock: nothing depends on how long the kernel takes, and only a hang waits for time to pass.
template <class Body>
void within(Body body) {
    test_kernel os;
    os.jump = false;
    within(std::move(body), os);
}

// Reads until the peer has finished sending.
inline cove::task<std::string> read_all(cove::tcp_stream& from) {
    std::string all;
    char some[4096];
    while (const std::size_t count = co_await from.read(some)) all.append(some, count);
    co_return all;
}

// The message of the error that an operation ends with; empty if it succeeds.
template <class Operation>
cove::task<std::string> message_of(Operation operation) {
    std::string message;
    try {
        co_await operation;
    } catch (const std::system_error& error) {
        message = error.what();
    }
    co_return message;
}

// The error that an operation ends with.
template <class Operation>
cove::task<std::error_code> error_of(Operation operation) {
    auto ended = co_await cove::as_result(std::move(operation));
    co_return ended.error();
}

// Resets the connection: the peer learns of it by ECONNRESET.
inline void reset(cove::tcp_stream& stream) {
    stream.set_linger(std::chrono::seconds(0));
    stream.close();
}

// A connected client socket that no loop knows, and that is there the moment this returns.
class raw_client {
public:
    explicit raw_client(const cove::address& where) : fd_(::socket(where.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (::connect(fd_, where.data(), where.size()) == 0) return;
        const int error = errno;
        ::close(fd_);
        throw std::system_error(error, std::generic_category());
    }
    raw_client(raw_client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    raw_client& operator=(raw_client&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~raw_client() { ::close(fd_); }

    int number() const noexcept { return fd_; }
    void send(std::string_view data) const { (void)::send(fd_, data.data(), data.size(), MSG_NOSIGNAL); }

    void make_close_reset() const {
        const linger now{1, 0};
        (void)::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }

private:
    int fd_;
};

}  // namespace test
