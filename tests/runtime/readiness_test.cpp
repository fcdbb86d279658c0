// Waiting on descriptors that belong to others: told once each time, and nothing left on them.

#include <cove/runtime/readiness.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

using namespace std::chrono_literals;

namespace {

// A pipe that is nobody's but the test's, and blocking, as others' descriptors are.
struct pipe_ends {
    pipe_ends() { REQUIRE(::pipe(ends) == 0); }
    pipe_ends(const pipe_ends&) = delete;
    pipe_ends& operator=(const pipe_ends&) = delete;
    ~pipe_ends() {
        close_reader();
        close_writer();
    }
    int reader() const { return ends[0]; }
    int writer() const { return ends[1]; }
    void put() const { REQUIRE(::write(ends[1], "x", 1) == 1); }
    void take() const {
        char byte = 0;
        REQUIRE(::read(ends[0], &byte, 1) == 1);
    }
    void close_reader() { close(ends[0]); }
    void close_writer() { close(ends[1]); }
    int ends[2] = {-1, -1};

private:
    static void close(int& fd) {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }
};

// An operation of cove's own that always has to wait.
struct probe final : cove::io_operation<probe> {
    explicit probe(cove::descriptor& target) noexcept : io_operation(target, cove::direction::read) {}
    void await_resume() const {
        if (outcome() < 0) throw_outcome();
    }
    const char* name() const noexcept override { return "probe"; }
    friend cove::io_waiter;
    long try_once(cove::kernel&, int, bool&) noexcept { return -EAGAIN; }
};

cove::task<> waits_readable(int fd, int& told) {
    co_await cove::readable(fd);
    ++told;
}

cove::task<> waits_writable(int fd, int& told) {
    co_await cove::writable(fd);
    ++told;
}

}  // namespace

TEST_CASE("readable waits until there is something to read") {
    auto body = []() -> cove::task<> {
        const pipe_ends pipe;
        int told = 0;
        cove::task_group group;
        group.spawn(waits_readable(pipe.reader(), told));
        co_await cove::sleep_for(1s);
        CHECK(told == 0);
        pipe.put();
        co_await group.join();
        CHECK(told == 1);
        CHECK(cove::loop::current().reactor().waiting == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("whoever does not read all that is there is told again") {
    auto body = []() -> cove::task<> {
        const pipe_ends pipe;
        pipe.put();
        pipe.put();
        for (int i = 0; i < 5; ++i) co_await cove::readable(pipe.reader());
        pipe.take();
        co_await cove::readable(pipe.reader());
        pipe.take();
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::readable(pipe.reader())));
    };
    test::run_on_linux(body());
}

TEST_CASE("the end of a pipe is readable, and a pipe without a reader writable: the next call says so") {
    auto body = []() -> cove::task<> {
        pipe_ends pipe;
        pipe.close_writer();
        co_await cove::readable(pipe.reader());
        pipe_ends other;
        other.close_reader();
        co_await cove::writable(other.writer());
    };
    test::run_on_linux(body());
}

TEST_CASE("writable waits until there is room") {
    auto body = []() -> cove::task<> {
        const pipe_ends pipe;
        co_await cove::writable(pipe.writer());
        REQUIRE(::fcntl(pipe.writer(), F_SETFL, O_NONBLOCK) == 0);
        char block[4096] = {};
        while (::write(pipe.writer(), block, sizeof block) > 0) {
        }
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::writable(pipe.writer())));
        int told = 0;
        cove::task_group group;
        group.spawn(waits_writable(pipe.writer(), told));
        co_await cove::sleep_for(1s);
        CHECK(told == 0);
        REQUIRE(::read(pipe.reader(), block, sizeof block) == static_cast<ssize_t>(sizeof block));
        co_await group.join();
        CHECK(told == 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("one reader and one writer wait on one descriptor without disturbing each other") {
    auto body = []() -> cove::task<> {
        int fds[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        char block[4096] = {};
        while (::send(fds[0], block, sizeof block, 0) > 0) {
        }
        int read_told = 0;
        int write_told = 0;
        cove::task_group group;
        group.spawn(waits_readable(fds[0], read_told));
        group.spawn(waits_writable(fds[0], write_told));
        co_await cove::sleep_for(1s);
        CHECK(read_told + write_told == 0);
        // The first event disarms both; the other wait has to be armed again.
        REQUIRE(::send(fds[1], "x", 1, 0) == 1);
        co_await cove::sleep_for(1s);
        CHECK(read_told == 1);
        CHECK(write_told == 0);
        while (::recv(fds[1], block, sizeof block, 0) > 0) {
        }
        co_await group.join();
        CHECK(write_told == 1);
        ::close(fds[0]);
        ::close(fds[1]);
    };
    test::run_on_linux(body());
}

TEST_CASE("a regular file is always ready") {
    auto body = []() -> cove::task<> {
        const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        REQUIRE(file >= 0);
        co_await cove::readable(file);
        co_await cove::writable(file);
        const auto outcome = co_await cove::as_result(cove::readable(file));
        CHECK(outcome.has_value());
        ::close(file);
    };
    test::run_on_linux(body());
}

TEST_CASE("a closed descriptor is EBADF, whatever its number") {
    auto body = []() -> cove::task<> {
        const int closed = ::eventfd(0, EFD_CLOEXEC);
        ::close(closed);
        const auto outcome = co_await cove::as_result(cove::readable(closed));
        CHECK(outcome.error() == std::errc::bad_file_descriptor);
        CHECK_THROWS_AS(co_await cove::writable(closed), std::system_error);
        CHECK(cove::loop::current().reactor().waiting == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("a second wait for the same direction is busy") {
    auto body = []() -> cove::task<> {
        const pipe_ends pipe;
        int told = 0;
        cove::task_group group;
        group.spawn(waits_readable(pipe.reader(), told));
        co_await cove::yield();
        const auto second = co_await cove::as_result(cove::readable(pipe.reader()));
        CHECK(second.error() == cove::errc::busy);
        pipe.put();
        co_await group.join();
        CHECK(told == 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("a canceled wait leaves the descriptor as it was, and nothing registered") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        const pipe_ends pipe;
        const long before = os.calls["control"];
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::readable(pipe.reader())));
        CHECK(os.calls["control"] == before + 2);  // one to add, one to remove
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(cove::readable(pipe.reader())));
        CHECK(os.calls["control"] == before + 2);
        pipe.put();
        co_await cove::readable(pipe.reader());
        pipe.take();
    };
    test::run(body(), os);
}

TEST_CASE("a frame that is destroyed while it waits leaves nothing registered") {
    auto body = []() -> cove::task<> {
        const pipe_ends pipe;
        int told = 0;
        {
            cove::task_group group;
            group.spawn(waits_readable(pipe.reader(), told));
            co_await cove::yield();
            CHECK(cove::loop::current().reactor().waiting == 1);
        }
        CHECK(cove::loop::current().reactor().waiting == 0);
        pipe.put();
        co_await cove::sleep_for(1s);
        CHECK(told == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("a descriptor whose owner closed it under a wait stays cancellable, with a copy and without") {
    for (const bool with_copy : {false, true}) {
        CAPTURE(with_copy);
        auto body = [with_copy]() -> cove::task<> {
            pipe_ends pipe;
            int told = 0;
            cove::task_group group;
            group.spawn(waits_readable(pipe.reader(), told));
            co_await cove::yield();
            const int number = pipe.reader();
            const int copy = with_copy ? ::dup(number) : -1;
            pipe.close_reader();
            const auto turns = cove::loop::current().counters().turns;
            co_await cove::sleep_for(1h);
            CHECK(cove::loop::current().counters().turns - turns < 10);
            CHECK(told == 0);
            group.cancel();
            co_await group.join();
            // Another one with the same number starts afresh, whatever the copy's registration still reports.
            const int reused = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            CHECK(reused == number);
            if (with_copy) pipe.put();
            CHECK_FALSE(co_await cove::move_on_after(1s, cove::readable(reused)));
            const std::uint64_t one = 1;
            REQUIRE(::write(reused, &one, sizeof one) == sizeof one);
            co_await cove::readable(reused);
            ::close(reused);
            if (with_copy) ::close(copy);
        };
        test::run_on_linux(body());
    }
}

TEST_CASE("a descriptor of cove's own that is registered is refused as busy") {
    auto body = []() -> cove::task<> {
        cove::descriptor own(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        cove::detail::reactor& reactor = cove::loop::current().reactor();
        CHECK_FALSE(co_await cove::move_on_after(1s, probe(own)));
        const auto refused = co_await cove::as_result(cove::readable(own.number()));
        CHECK(refused.error() == cove::errc::busy);
        CHECK(reactor.waiting == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("a descriptor of cove's own that has not waited yet is refused as well") {
    auto body = []() -> cove::task<> {
        cove::descriptor own(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        std::error_code error;
        auto borrows = [&]() -> cove::task<> {
            const auto refused = co_await cove::as_result(cove::readable(own.number()));
            error = refused.error();
        };
        cove::task_group group;
        group.spawn(borrows());
        co_await cove::yield();
        // Whatever became of the stranger, the owner's own wait is not to suffer.
        bool waited = true;
        try {
            waited = co_await cove::move_on_after(1s, probe(own));
        } catch (const std::system_error& refused) {
            error = refused.code();
        }
        CHECK_FALSE(waited);
        CHECK(error == cove::errc::busy);
        group.cancel();
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("a number that is no descriptor's is EBADF") {
    auto body = []() -> cove::task<> {
        for (const int number : {-1, -1000, 100'000}) {
            const auto outcome = co_await cove::as_result(cove::readable(number));
            CHECK(outcome.error() == std::errc::bad_file_descriptor);
        }
    };
    test::run_on_linux(body());
}

TEST_CASE("where epoll has no room the wait fails and nothing stays behind") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        const pipe_ends pipe;
        os.fault = [](std::string_view call, int) -> std::optional<long> {
            if (call == "control") return -ENOSPC;
            return {};
        };
        const auto refused = co_await cove::as_result(cove::readable(pipe.reader()));
        CHECK(refused.error() == std::errc::no_space_on_device);
        CHECK(cove::loop::current().reactor().waiting == 0);
        os.fault = nullptr;
        pipe.put();
        co_await cove::readable(pipe.reader());
    };
    test::run(body(), os);
}
