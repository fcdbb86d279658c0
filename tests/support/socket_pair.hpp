// A connected pair of sockets and the simplest operation on one: what tests of the runtime wait with, below net.

#pragma once

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/io_operation.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <string_view>

namespace test {

// A socket of cove's, and its peer, which no loop knows.
struct socket_pair {
    socket_pair() {
        int fds[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        near = cove::descriptor(fds[0]);
        far = cove::descriptor(fds[1], cove::linux_kernel());
    }
    void send(std::string_view text) const {
        REQUIRE(::send(far.number(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<long>(text.size()));
    }

    cove::descriptor near;
    cove::descriptor far;
};

// Takes up to 64 bytes. Result: how many, 0 at the end of the stream.
class receive final : public cove::io_operation<receive> {
public:
    explicit receive(cove::descriptor& from) noexcept : io_operation(from, cove::direction::read) {}

    using io_operation::number;
    long await_resume() const {
        if (outcome() < 0) throw_outcome();
        return outcome();
    }

private:
    friend cove::io_waiter;
    const char* name() const noexcept override { return "receive"; }
    long try_once(cove::kernel& os, int fd, bool& drained) noexcept {
        char bytes[64];
        const long count = os.receive(fd, bytes, sizeof bytes);
        drained = count < static_cast<long>(sizeof bytes);
        return count;
    }
};

}  // namespace test
