// Pipes between sockets, and files: the simulated kernel against Linux.

#include <support/file.hpp>
#include <support/platform.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace {

struct pipe_fds {
    explicit pipe_fds(test::platform& on) : pipe_fds(on, made(on)) {}

    test::owned_fd out;
    test::owned_fd in;

private:
    struct numbers {
        int ends[2];
    };
    static numbers made(test::platform& on) {
        numbers both{};
        REQUIRE(on.os().create_pipe(both.ends) == 0);
        return both;
    }
    pipe_fds(test::platform& on, numbers both) : out(on.own(both.ends[0])), in(on.own(both.ends[1])) {}
};

}  // namespace

TEST_CASE_TEMPLATE("bytes go from socket to socket through a pipe, in order", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto first = on.connected_pair(), second = on.connected_pair();
    const pipe_fds pipe(on);
    CHECK(on.send(first.left, "hello, you") == 10);
    CHECK(on.eventually([&] { return on.bits(first.right) == "IN OUT"; }));
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 4) == 4);
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 1000) == 6);
    CHECK(on.os().send_from_pipe(second.left, pipe.out, 7) == 7);
    CHECK(on.os().send_from_pipe(second.left, pipe.out, 1000) == 3);
    CHECK(on.read(second.right, 10) == "hello, you");
}

TEST_CASE_TEMPLATE("an empty socket, an empty pipe and a full one answer EAGAIN", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto first = on.connected_pair(), second = on.connected_pair();
    const pipe_fds pipe(on);
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 10) == -EAGAIN);
    CHECK(on.os().send_from_pipe(second.left, pipe.out, 10) == -EAGAIN);
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 0) == 0);
    CHECK(on.os().send_from_pipe(second.left, pipe.out, 0) == 0);
    long taken = 0, sum = 0;
    on.eventually([&] {
        on.send(first.left, std::string(16384, 'x'));
        on.settle();
        if ((taken = on.os().receive_to_pipe(first.right, pipe.in, 1 << 20)) > 0) sum += taken;
        return taken == -EAGAIN;
    });
    CHECK(taken == -EAGAIN);
    CHECK(sum >= 64 * 1024);
    CHECK(on.receive(first.right) > 0);
}

TEST_CASE_TEMPLATE("a full socket leaves what it does not take in the pipe", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto first = on.connected_pair(), second = on.connected_pair();
    const pipe_fds pipe(on);
    on.fill(second.left);
    CHECK(on.send(first.left, "kept") == 4);
    CHECK(on.eventually([&] { return on.os().receive_to_pipe(first.right, pipe.in, 10) == 4; }));
    CHECK(on.os().send_from_pipe(second.left, pipe.out, 10) == -EAGAIN);
    const auto third = on.connected_pair();
    CHECK(on.os().send_from_pipe(third.left, pipe.out, 10) == 4);
    CHECK(on.read(third.right, 4) == "kept");
}

TEST_CASE_TEMPLATE("what came before the end, or a reset, is taken first", Platform, EVERY_PLATFORM) {
    Platform on;
    auto first = on.connected_pair();
    const pipe_fds pipe(on);
    CHECK(on.send(first.left, "last") == 4);
    CHECK(on.os().shutdown(first.left, SHUT_WR) == 0);
    CHECK(on.bits_soon(first.right) == "IN OUT RDHUP");
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 100) == 4);
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 100) == 0);
    CHECK(on.os().receive_to_pipe(first.right, pipe.in, 100) == 0);

    auto second = on.connected_pair();
    on.close_by_reset(second.left);
    CHECK(on.bits_soon(second.right) == "IN OUT ERR HUP RDHUP");
    CHECK(on.os().receive_to_pipe(second.right, pipe.in, 100) == -ECONNRESET);
    CHECK(on.os().receive_to_pipe(second.right, pipe.in, 100) == 0);
}

TEST_CASE_TEMPLATE("a socket that sends no more answers EPIPE, without a signal", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto first = on.connected_pair(), second = on.connected_pair();
    const pipe_fds pipe(on);
    const test::file_of file("0123456789");
    CHECK(on.send(first.left, "vain") == 4);
    CHECK(on.eventually([&] { return on.os().receive_to_pipe(first.right, pipe.in, 10) == 4; }));
    CHECK(on.os().shutdown(second.left, SHUT_WR) == 0);
    CHECK(on.os().send_from_pipe(second.left, pipe.out, 10) == -EPIPE);
    CHECK(on.os().send_file(second.left, file.fd(), 0, 5) == -EPIPE);
    const auto fresh = on.socket();
    CHECK(on.os().send_from_pipe(fresh, pipe.out, 10) == -EPIPE);
    CHECK(on.os().receive_to_pipe(fresh, pipe.in, 10) == -ENOTCONN);
}

TEST_CASE_TEMPLATE("a pipe's ends are not taken for each other, nor sockets for pipes", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto first = on.connected_pair(), second = on.connected_pair();
    pipe_fds pipe(on);
    CHECK(on.os().receive_to_pipe(first.right, pipe.out, 10) == -EBADF);
    CHECK(on.os().send_from_pipe(first.right, pipe.in, 10) == -EBADF);
    CHECK(on.os().receive_to_pipe(first.right, second.left, 10) == -EINVAL);
    CHECK(on.os().send_from_pipe(first.right, second.left, 10) == -EINVAL);
    CHECK(on.os().receive_to_pipe(1'000'000, pipe.in, 10) == -EBADF);
    CHECK(on.os().send_from_pipe(first.right, 1'000'000, 10) == -EBADF);
    pipe.in.close();
    CHECK(on.os().send_from_pipe(first.right, pipe.out, 10) == 0);
}

TEST_CASE_TEMPLATE("epoll says what a pipe is ready for", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto first = on.connected_pair();
    pipe_fds pipe(on);
    CHECK(on.bits(pipe.out) == "");
    CHECK(on.bits(pipe.in) == "OUT");
    CHECK(on.send(first.left, "x") == 1);
    CHECK(on.eventually([&] { return on.os().receive_to_pipe(first.right, pipe.in, 10) == 1; }));
    CHECK(on.bits(pipe.out) == "IN");
    pipe.in.close();
    CHECK(on.bits(pipe.out) == "IN HUP");
    pipe_fds other(on);
    other.out.close();
    CHECK(on.bits(other.in) == "OUT ERR");
}

TEST_CASE_TEMPLATE("a part of a file is sent, up to its end", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto pair = on.connected_pair();
    const test::file_of file("0123456789");
    CHECK(on.os().send_file(pair.left, file.fd(), 2, 5) == 5);
    CHECK(on.os().send_file(pair.left, file.fd(), 8, 5) == 2);
    CHECK(on.os().send_file(pair.left, file.fd(), 10, 5) == 0);
    CHECK(on.os().send_file(pair.left, file.fd(), 1000, 5) == 0);
    CHECK(on.os().send_file(pair.left, file.fd(), 0, 0) == 0);
    CHECK(on.read(pair.right, 7) == "2345689");
    CHECK(on.os().send_file(pair.left, -1, 0, 5) == -EBADF);
    CHECK(on.os().send_file(1'000'000, file.fd(), 0, 5) == -EBADF);
    CHECK(on.os().send_file(pair.left, file.fd(), 1ULL << 63, 5) == -EINVAL);
    on.fill(pair.left);
    CHECK(on.os().send_file(pair.left, file.fd(), 0, 5) == -EAGAIN);
}
