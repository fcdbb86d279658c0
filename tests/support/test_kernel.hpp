// A kernel for tests: Linux's sockets under a clock that jumps to the next timer, with calls that can be counted and made
// to fail.

#pragma once

#include <cove/net/sim/world.hpp>
#include <cove/runtime/kernel.hpp>
#include <cove/runtime/run.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

namespace test {

class test_kernel final : public cove::kernel {
public:
    // How often each call was made, by its name in kernel.hpp.
    std::map<std::string_view, long> calls;

    // Asked before each call that can fail: a value is answered instead of calling Linux.
    std::function<std::optional<long>(std::string_view call, int fd)> fault;

    // What random() answers, instead of what nobody can foretell.
    std::optional<std::uint64_t> fixed_random;

    // Whether the clock jumps over waits in which nothing happens, or is the real one.
    bool jump = true;

    // How long the clock waits, in real time, before it jumps.
    cove::duration settle = std::chrono::milliseconds(1);

    // If set: a wait without end in which, on the real clock, nothing happens for so long answers EDEADLK.
    std::optional<cove::duration> stuck_after;

    cove::time_point now() noexcept override { return cove::linux_kernel().now() + jumped_; }

    int socket(int family, int type, int protocol) noexcept override {
        return answer<int>("socket", -1, [&] { return real().socket(family, type, protocol); });
    }
    int bind(int fd, const sockaddr* address, unsigned size) noexcept override {
        return answer<int>("bind", fd, [&] { return real().bind(fd, address, size); });
    }
    int listen(int fd, int backlog) noexcept override {
        return answer<int>("listen", fd, [&] { return real().listen(fd, backlog); });
    }
    int accept(int fd) noexcept override {
        return answer<int>("accept", fd, [&] { return real().accept(fd); });
    }
    int connect(int fd, const sockaddr* address, unsigned size) noexcept override {
        return answer<int>("connect", fd, [&] { return real().connect(fd, address, size); });
    }
    int shutdown(int fd, int how) noexcept override {
        return answer<int>("shutdown", fd, [&] { return real().shutdown(fd, how); });
    }
    int local_address(int fd, sockaddr* address, unsigned* size) noexcept override {
        return answer<int>("local_address", fd, [&] { return real().local_address(fd, address, size); });
    }
    int peer_address(int fd, sockaddr* address, unsigned* size) noexcept override {
        return answer<int>("peer_address", fd, [&] { return real().peer_address(fd, address, size); });
    }
    int set_option(int fd, int level, int name, const void* value, unsigned size) noexcept override {
        return answer<int>("set_option", fd, [&] { return real().set_option(fd, level, name, value, size); });
    }
    int get_option(int fd, int level, int name, void* value, unsigned* size) noexcept override {
        return answer<int>("get_option", fd, [&] { return real().get_option(fd, level, name, value, size); });
    }
    long receive(int fd, void* data, std::size_t size) noexcept override {
        return answer<long>("receive", fd, [&] { return real().receive(fd, data, size); });
    }
    long send(int fd, const void* data, std::size_t size) noexcept override {
        return answer<long>("send", fd, [&] { return real().send(fd, data, size); });
    }
    long send_message(int fd, const msghdr& message) noexcept override {
        return answer<long>("send_message", fd, [&] { return real().send_message(fd, message); });
    }
    int create_pipe(int (&ends)[2]) noexcept override {
        return answer<int>("create_pipe", -1, [&] { return real().create_pipe(ends); });
    }
    long receive_to_pipe(int fd, int pipe, std::size_t size) noexcept override {
        return answer<long>("receive_to_pipe", fd, [&] { return real().receive_to_pipe(fd, pipe, size); });
    }
    long send_from_pipe(int fd, int pipe, std::size_t size) noexcept override {
        return answer<long>("send_from_pipe", fd, [&] { return real().send_from_pipe(fd, pipe, size); });
    }
    long send_file(int fd, int file, std::uint64_t offset, std::size_t size) noexcept override {
        return answer<long>("send_file", fd, [&] { return real().send_file(fd, file, offset, size); });
    }
    int close(int fd) noexcept override {
        ++calls["close"];
        return real().close(fd);
    }
    int create_poller() noexcept override {
        return answer<int>("create_poller", -1, [&] { return real().create_poller(); });
    }
    int control(int poller, registration what, int fd, cove::readiness_event event) noexcept override {
        return answer<int>("control", fd, [&] { return real().control(poller, what, fd, event); });
    }
    int create_event() noexcept override {
        return answer<int>("create_event", -1, [&] { return real().create_event(); });
    }
    int signal_event(int fd) noexcept override { return real().signal_event(fd); }
    int subscribe(int signo, cove::signal_mailbox& mailbox) noexcept override {
        return real().subscribe(signo, mailbox);
    }
    void unsubscribe(int signo, cove::signal_mailbox& mailbox) noexcept override { real().unsubscribe(signo, mailbox); }
    std::uint64_t random() noexcept override { return fixed_random ? *fixed_random : real().random(); }
    int processors(int* numbers, int numbers_max) noexcept override {
        return answer<int>("processors", -1, [&] { return real().processors(numbers, numbers_max); });
    }
    int pin(int processor) noexcept override {
        return answer<int>("pin", -1, [&] { return real().pin(processor); });
    }
    int unpin() noexcept override { return real().unpin(); }

    int wait(int poller, cove::readiness_event* events, int events_max, cove::duration timeout) noexcept override {
        ++calls["wait"];
        if (timeout == cove::duration::zero()) ++calls["wait(0)"];
        if (fault)
            if (const auto injected = fault("wait", poller)) return static_cast<int>(*injected);
        if (timeout < cove::duration::zero() && stuck_after) {
            const int happened = real().wait(poller, events, events_max, *stuck_after);
            return happened != 0 ? happened : -EDEADLK;
        }
        if (!jump || timeout <= cove::duration::zero()) return real().wait(poller, events, events_max, timeout);
        // What other sockets of this process have sent is there already, or within a moment; then time jumps.
        const int count = real().wait(poller, events, events_max, std::min(timeout, settle));
        if (count == 0) jumped_ += timeout;
        return count;
    }

private:
    static cove::kernel& real() noexcept { return cove::linux_kernel(); }

    template <class Result, class Call>
    Result answer(std::string_view call, int fd, Call call_linux) {
        ++calls[call];
        if (fault)
            if (const auto injected = fault(call, fd)) return static_cast<Result>(*injected);
        return call_linux();
    }

    cove::duration jumped_ = cove::duration::zero();
};

// Runs a test's main task on this kernel, and without touching the process's signals.
template <class T>
auto run(cove::task<T> main, cove::kernel& os) {
    cove::run_options options;
    options.os = &os;
    options.stop_on_signals = false;
    return cove::run(std::move(main), options);
}

// The same in simulated time, for what needs neither threads nor descriptors of the process.
template <class T>
auto run(cove::task<T> main) {
    cove::sim::world world(1);
    return run(std::move(main), world.host("test").os());
}

// The same on Linux, with a clock that jumps.
template <class T>
auto run_on_linux(cove::task<T> main) {
    test_kernel os;
    return run(std::move(main), os);
}

}  // namespace test
