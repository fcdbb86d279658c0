// What linux_kernel answers, where the rest of the library relies on more than the man page's first sentence.

#include <cove/runtime/kernel.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

using namespace std::chrono_literals;
using cove::kernel;
using cove::linux_kernel;

namespace {

// Asks when the program's static objects are destroyed, this one after the kernel's, were it one of them: so does a thread of
// the pool that is still there. UBSan sees a call on a destroyed object.
struct asks_at_exit {
    ~asks_at_exit() { (void)cove::linux_kernel().now(); }
} const at_exit;

struct poller {
    poller() : fd(linux_kernel().create_poller()) { REQUIRE(fd >= 0); }
    poller(const poller&) = delete;
    poller& operator=(const poller&) = delete;
    ~poller() { linux_kernel().close(fd); }
    int wait(cove::readiness_event& event, cove::duration limit) const {
        return linux_kernel().wait(fd, &event, 1, limit);
    }
    int add(int what, std::uint32_t bits, std::uint64_t data) const {
        return linux_kernel().control(fd, kernel::registration::add, what, {bits, data});
    }
    int fd;
};

struct event {
    event() : fd(linux_kernel().create_event()) { REQUIRE(fd >= 0); }
    event(const event&) = delete;
    event& operator=(const event&) = delete;
    ~event() { linux_kernel().close(fd); }
    int fd;
};

// A loop's place for signals, with nothing of a loop around it.
struct mailbox {
    mailbox() { signals.event_fd = wakes.fd; }
    std::uint64_t pending() const { return signals.pending.load(); }
    event wakes;
    cove::signal_mailbox signals;
};

constexpr std::uint64_t bit(int signo) { return std::uint64_t{1} << (signo - 1); }

void (*disposition(int signo))(int) {
    struct sigaction now {};
    ::sigaction(signo, nullptr, &now);
    return now.sa_handler;
}

}  // namespace

TEST_CASE("a wait with a limit is never over early, to the nanosecond") {
    const poller empty;
    cove::readiness_event none;
    for (const cove::duration limit : {cove::duration(1ns), cove::duration(999ns), cove::duration(50us),
                                       cove::duration(999'999ns), cove::duration(1'000'001ns), cove::duration(3ms)}) {
        const cove::time_point start = linux_kernel().now();
        CHECK(empty.wait(none, limit) == 0);
        CHECK(linux_kernel().now() - start >= limit);
    }
    CHECK(empty.wait(none, 0ns) == 0);
}

TEST_CASE("limits of every length are waits: none is refused or overflows") {
    const poller set;
    const event ready;
    linux_kernel().signal_event(ready.fd);
    REQUIRE(set.add(ready.fd, kernel::event_in, 42) == 0);
    for (const cove::duration limit : {cove::duration::max(), cove::duration(24h * 365 * 200), cove::duration(-1),
                                       cove::duration::min(), cove::duration(0)}) {
        cove::readiness_event told;
        CHECK(set.wait(told, limit) == 1);
        CHECK(std::uint64_t{told.data} == 42);
        CHECK((told.bits & kernel::event_in) != 0);
    }
}

TEST_CASE("errors are answers, below zero, and errno's own numbers") {
    CHECK(linux_kernel().close(-1) == -EBADF);
    CHECK(linux_kernel().socket(AF_INET, -1, 0) == -EINVAL);
    char byte = 0;
    CHECK(linux_kernel().receive(-1, &byte, 1) == -EBADF);
    cove::readiness_event none;
    CHECK(linux_kernel().wait(-1, &none, 1, 0ns) == -EBADF);
    const poller set;
    const event one;
    CHECK(set.add(one.fd, kernel::event_in, 0) == 0);
    CHECK(set.add(one.fd, kernel::event_in, 0) == -EEXIST);
    CHECK(linux_kernel().control(set.fd, kernel::registration::remove, one.fd, {}) == 0);
    CHECK(linux_kernel().control(set.fd, kernel::registration::modify, one.fd, {}) == -ENOENT);
}

TEST_CASE("descriptors are made non-blocking and are not inherited by programs that are started") {
    const event one;
    const poller set;
    const int socket = linux_kernel().socket(AF_UNIX, SOCK_STREAM, 0);
    for (const int fd : {one.fd, set.fd, socket}) CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    for (const int fd : {one.fd, socket}) CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    linux_kernel().close(socket);
}

TEST_CASE("a send to a peer that has gone is EPIPE and no SIGPIPE") {
    int fds[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    ::close(fds[1]);
    CHECK(linux_kernel().send(fds[0], "x", 1) == -EPIPE);
    msghdr message{};
    CHECK(linux_kernel().send_message(fds[0], message) <= 0);
    ::close(fds[0]);
}

namespace {

volatile std::sig_atomic_t pipe_signals = 0;

// Whether SIGPIPE is blocked in this thread, and whether one is pending.
bool blocks_sigpipe() {
    sigset_t mask;
    return ::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0 && ::sigismember(&mask, SIGPIPE) == 1;
}
bool has_pending_sigpipe() {
    sigset_t pending;
    return ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 1;
}

// splice(2) and sendfile(2) to a socket that nobody reads any more: each raises SIGPIPE where it is left to.
void send_in_vain() {
    int ends[2], pipe[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    REQUIRE(linux_kernel().create_pipe(pipe) == 0);
    REQUIRE(::write(pipe[1], "x", 1) == 1);
    ::close(ends[1]);
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    CHECK(linux_kernel().send_from_pipe(ends[0], pipe[0], 1) == -EPIPE);
    CHECK(linux_kernel().send_file(ends[0], file, 0, 1) == -EPIPE);
    for (const int fd : {ends[0], pipe[0], pipe[1], file}) ::close(fd);
}

}  // namespace

TEST_CASE("splice and sendfile to a peer that has gone are EPIPE and no SIGPIPE, whatever the program does with it") {
    struct sigaction counted {
    }, before{};
    counted.sa_handler = [](int) { pipe_signals = pipe_signals + 1; };
    REQUIRE(::sigaction(SIGPIPE, &counted, &before) == 0);
    send_in_vain();
    CHECK(pipe_signals == 0);
    CHECK(!blocks_sigpipe());
    CHECK(!has_pending_sigpipe());

    // A program that has blocked the signal finds it blocked, and one that was pending before is still pending.
    sigset_t only_this, mask;
    ::sigemptyset(&only_this);
    ::sigaddset(&only_this, SIGPIPE);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &only_this, &mask) == 0);
    send_in_vain();
    CHECK(blocks_sigpipe());
    CHECK(!has_pending_sigpipe());
    ::raise(SIGPIPE);
    send_in_vain();
    CHECK(has_pending_sigpipe());
    CHECK(pipe_signals == 0);
    REQUIRE(::pthread_sigmask(SIG_SETMASK, &mask, nullptr) == 0);
    CHECK(pipe_signals == 1);

    counted.sa_handler = SIG_IGN;
    REQUIRE(::sigaction(SIGPIPE, &counted, nullptr) == 0);
    send_in_vain();
    REQUIRE(::sigaction(SIGPIPE, &before, nullptr) == 0);
    CHECK(!has_pending_sigpipe());
}

TEST_CASE("an event descriptor wakes anew with each signal, also at its maximum") {
    const poller set;
    const event one;
    REQUIRE(set.add(one.fd, kernel::event_in | kernel::event_edge, 7) == 0);
    cove::readiness_event told;
    CHECK(set.wait(told, 0ns) == 0);
    for (int i = 0; i < 3; ++i) {
        CHECK(linux_kernel().signal_event(one.fd) == 0);
        CHECK(set.wait(told, 0ns) == 1);  // nobody has read the counter in between
        CHECK(set.wait(told, 0ns) == 0);
    }
    const std::uint64_t rest = std::numeric_limits<std::uint64_t>::max() - 1 - 3;
    REQUIRE(::write(one.fd, &rest, sizeof rest) == sizeof rest);
    CHECK(linux_kernel().signal_event(one.fd) == 0);  // does not block, is no error
    const poller late;
    REQUIRE(late.add(one.fd, kernel::event_in | kernel::event_edge, 8) == 0);
    CHECK(late.wait(told, 0ns) == 1);
}

TEST_CASE("a signal goes to every mailbox that asked for it, and wakes its descriptor") {
    mailbox first;
    mailbox second;
    CHECK(linux_kernel().subscribe(SIGUSR1, first.signals) == 0);
    CHECK(linux_kernel().subscribe(SIGUSR1, second.signals) == 0);
    CHECK(linux_kernel().subscribe(SIGUSR2, second.signals) == 0);
    ::raise(SIGUSR1);
    CHECK(first.pending() == bit(SIGUSR1));
    CHECK(second.pending() == bit(SIGUSR1));
    ::raise(SIGUSR2);
    CHECK(first.pending() == bit(SIGUSR1));
    CHECK(second.pending() == (bit(SIGUSR1) | bit(SIGUSR2)));
    std::uint64_t count = 0;
    CHECK(::read(first.wakes.fd, &count, sizeof count) == sizeof count);
    CHECK(count == 1);
    linux_kernel().unsubscribe(SIGUSR1, second.signals);
    CHECK(second.pending() == bit(SIGUSR2));  // one that is no longer wanted is forgotten
    ::raise(SIGUSR1);
    CHECK(second.pending() == bit(SIGUSR2));
    linux_kernel().unsubscribe(SIGUSR2, second.signals);
    linux_kernel().unsubscribe(SIGUSR1, first.signals);
}

TEST_CASE("the first subscription replaces a disposition and the last one restores it") {
    const auto before = disposition(SIGUSR1);
    mailbox first;
    mailbox second;
    linux_kernel().subscribe(SIGUSR1, first.signals);
    const auto ours = disposition(SIGUSR1);
    CHECK((ours != before));
    linux_kernel().subscribe(SIGUSR1, second.signals);
    linux_kernel().unsubscribe(SIGUSR1, first.signals);
    CHECK((disposition(SIGUSR1) == ours));
    linux_kernel().unsubscribe(SIGUSR1, second.signals);
    CHECK((disposition(SIGUSR1) == before));
}

TEST_CASE("what is no signal cannot be subscribed to, nor what cannot be caught") {
    mailbox box;
    for (const int signo : {0, -1, 65, SIGKILL, SIGSTOP})
        CHECK(linux_kernel().subscribe(signo, box.signals) == -EINVAL);
    CHECK(box.signals.wanted.load() == 0);
}

TEST_CASE("when the table of mailboxes is full the next loop is refused and the signal keeps its disposition") {
    const auto before = disposition(SIGUSR2);
    std::vector<std::unique_ptr<mailbox>> boxes;
    int refusal = 0;
    while (refusal == 0 && boxes.size() < 1000) {
        boxes.push_back(std::make_unique<mailbox>());
        refusal = linux_kernel().subscribe(SIGUSR1, boxes.back()->signals);
    }
    CHECK(refusal == -EMFILE);
    CHECK(linux_kernel().subscribe(SIGUSR2, boxes.back()->signals) == -EMFILE);
    CHECK((disposition(SIGUSR2) == before));
    boxes.pop_back();
    ::raise(SIGUSR1);
    for (const auto& each : boxes) {
        CHECK(each->pending() == bit(SIGUSR1));
        linux_kernel().unsubscribe(SIGUSR1, each->signals);
    }
    // There is room again.
    mailbox late;
    CHECK(linux_kernel().subscribe(SIGUSR1, late.signals) == 0);
    linux_kernel().unsubscribe(SIGUSR1, late.signals);
}

TEST_CASE("a handler leaves errno as it was") {
    mailbox box;
    linux_kernel().subscribe(SIGUSR1, box.signals);
    const std::uint64_t full = std::numeric_limits<std::uint64_t>::max() - 1;
    REQUIRE(::write(box.wakes.fd, &full, sizeof full) == sizeof full);
    errno = ERANGE;
    ::raise(SIGUSR1);  // its write fails with EAGAIN
    CHECK(errno == ERANGE);
    CHECK(box.pending() == bit(SIGUSR1));
    linux_kernel().unsubscribe(SIGUSR1, box.signals);
}

TEST_CASE("forks are counted in the child") {
    const unsigned here = cove::kernel::fork_count();
    CHECK(test::in_child([here] { return cove::kernel::fork_count() == here + 1 ? 0 : 1; }).status == 0);
    CHECK(cove::kernel::fork_count() == here);
}

TEST_CASE("a thread that is pinned runs on that processor only, and unpinned where it could before the first pin") {
    constexpr int numbers_max = 8192;
    std::vector<int> before(numbers_max), now(numbers_max);
    const int count = linux_kernel().processors(before.data(), numbers_max);
    REQUIRE(count >= 1);
    CHECK(linux_kernel().processors(now.data(), 1) == 1);
    CHECK(now[0] == before[0]);
    CHECK(linux_kernel().unpin() == -1);
    for (const int processor : {before[0], before[static_cast<std::size_t>(count) - 1]}) {
        CHECK(linux_kernel().pin(processor) == 0);
        CHECK(linux_kernel().processors(now.data(), numbers_max) == 1);
        CHECK(now[0] == processor);
    }
    CHECK(linux_kernel().pin(-1) == -EINVAL);
    CHECK(linux_kernel().pin(numbers_max) == -EINVAL);
    CHECK(linux_kernel().pin(numbers_max - 1) == -EINVAL);  // no machine of ours has so many
    CHECK(linux_kernel().unpin() == before[static_cast<std::size_t>(count) - 1]);
    CHECK(linux_kernel().processors(now.data(), numbers_max) == count);
    CHECK(linux_kernel().unpin() == -1);
}
