// What a conformance case runs on: a kernel, and a way to let what is under way arrive. Cases ask the kernel interface alone,
// so that every kernel can be held to the same facts.

#pragma once

#include <cove/net/address.hpp>
#include <cove/net/sim/world.hpp>
#include <cove/runtime/kernel.hpp>

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

// A descriptor that is closed with its scope.
class owned_fd {
public:
    owned_fd(cove::kernel& os, int fd) noexcept : os_(&os), fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : os_(other.os_), fd_(std::exchange(other.fd_, -1)) {}
    owned_fd& operator=(owned_fd&& other) noexcept {
        std::swap(os_, other.os_);
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~owned_fd() { close(); }

    operator int() const noexcept { return fd_; }
    int close() noexcept { return fd_ < 0 ? 0 : os_->close(std::exchange(fd_, -1)); }

private:
    cove::kernel* os_;
    int fd_;
};

// Readiness as text, so that a failed check can be read: "IN OUT RDHUP"; empty if there is none.
inline std::string text_of(std::uint32_t bits) {
    using cove::kernel;
    constexpr std::pair<std::uint32_t, const char*> names[] = {
        {kernel::event_in, "IN"},     {kernel::event_urgent, "PRI"},  {kernel::event_out, "OUT"},
        {kernel::event_error, "ERR"}, {kernel::event_hang_up, "HUP"}, {kernel::event_read_hang_up, "RDHUP"},
    };
    std::string text;
    for (const auto& [bit, name] : names) {
        if ((bits & bit) == 0) continue;
        if (!text.empty()) text += ' ';
        text += name;
    }
    return text;
}

constexpr std::uint32_t any_event =
    cove::kernel::event_in | cove::kernel::event_urgent | cove::kernel::event_out | cove::kernel::event_read_hang_up;
constexpr std::uint32_t any_edge = any_event | cove::kernel::event_edge;

// Something that is asked until it is as expected: its == waits. Printed, it is the last answer.
template <class Ask>
class soon {
public:
    explicit soon(Ask ask) : ask_(std::move(ask)) {}
    template <class Expected>
    friend bool operator==(const soon& left, const Expected& right) {
        return left.ask_(left.last_, right);
    }
    friend std::ostream& operator<<(std::ostream& out, const soon& printed) {
        return out << '"' << printed.last_ << '"';
    }

private:
    Ask ask_;
    mutable std::string last_;
};

struct ends;

class platform {
public:
    platform() = default;
    platform(const platform&) = delete;
    platform& operator=(const platform&) = delete;
    virtual ~platform() = default;

    virtual cove::kernel& os() = 0;

    // Lets that much time pass, and all that is under way arrive.
    virtual void pass(cove::duration length) = 0;

    template <class Predicate>
    bool eventually(Predicate holds) {
        const cove::time_point end = os().now() + std::chrono::seconds(2);
        while (!holds()) {
            if (os().now() >= end) return false;
            pass(std::chrono::milliseconds(1));
        }
        return true;
    }

    // Long enough for what must not come to have come.
    void settle() { pass(std::chrono::milliseconds(5)); }

    // Sockets.
    owned_fd own(int fd) {
        REQUIRE(fd >= 0);
        return owned_fd(os(), fd);
    }
    owned_fd socket(int family = AF_INET) { return own(os().socket(family, SOCK_STREAM, 0)); }
    owned_fd event() { return own(os().create_event()); }
    int bind(int fd, const cove::address& where) { return os().bind(fd, where.data(), where.size()); }
    int bind(int fd, std::string_view where) { return bind(fd, cove::address::parse(where)); }
    owned_fd bound_to(const cove::address& where) {
        owned_fd made = socket(where.family());
        REQUIRE(bind(made, where) == 0);
        return made;
    }
    owned_fd bound_to(std::string_view where) { return bound_to(cove::address::parse(where)); }
    owned_fd listen_on(std::string_view where = "127.0.0.1:0", int backlog = 16) {
        owned_fd made = bound_to(where);
        REQUIRE(os().listen(made, backlog) == 0);
        return made;
    }
    int connect(int fd, const cove::address& where) { return os().connect(fd, where.data(), where.size()); }
    int connect(int fd, std::string_view where) { return connect(fd, cove::address::parse(where)); }
    owned_fd start_connect(const cove::address& where) {
        owned_fd made = socket(where.family());
        REQUIRE(connect(made, where) == -EINPROGRESS);
        return made;
    }
    owned_fd connect_to(const cove::address& where) {
        owned_fd made = start_connect(where);
        REQUIRE(eventually([&] { return is_connected(made); }));
        REQUIRE(error_of(made) == 0);
        return made;
    }
    owned_fd accept_soon(int listener) {
        int fd = -EAGAIN;
        eventually([&] { return (fd = os().accept(listener)) != -EAGAIN; });
        return own(fd);
    }
    ends connected_pair(std::string_view where = "127.0.0.1:0");
    // An address of this host at which nobody listens.
    cove::address closed_port() {
        const owned_fd taken = bound_to("127.0.0.1:0");
        return local(taken);
    }

    cove::address local(int fd) {
        sockaddr_storage bytes{};
        unsigned size = sizeof bytes;
        REQUIRE(os().local_address(fd, reinterpret_cast<sockaddr*>(&bytes), &size) == 0);
        return cove::address(reinterpret_cast<sockaddr*>(&bytes), size);
    }
    cove::address peer(int fd) {
        sockaddr_storage bytes{};
        unsigned size = sizeof bytes;
        REQUIRE(os().peer_address(fd, reinterpret_cast<sockaddr*>(&bytes), &size) == 0);
        return cove::address(reinterpret_cast<sockaddr*>(&bytes), size);
    }
    int peer_result(int fd) {
        sockaddr_storage bytes{};
        unsigned size = sizeof bytes;
        return os().peer_address(fd, reinterpret_cast<sockaddr*>(&bytes), &size);
    }
    bool is_connected(int fd) { return peer_result(fd) == 0; }

    int set(int fd, int level, int name, int value) { return os().set_option(fd, level, name, &value, sizeof value); }
    // The value of an option, or -errno.
    int get(int fd, int level, int name) {
        int value = -1;
        unsigned size = sizeof value;
        const int result = os().get_option(fd, level, name, &value, &size);
        return result < 0 ? result : value;
    }
    int error_of(int fd) { return get(fd, SOL_SOCKET, SO_ERROR); }
    void close_by_reset(owned_fd& fd) {
        const linger none{1, 0};
        REQUIRE(os().set_option(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
        CHECK(fd.close() == 0);
    }

    // Data.
    long send(int fd, std::string_view data) { return os().send(fd, data.data(), data.size()); }
    // One receive, now: its result, the data dropped.
    long receive(int fd, std::size_t size = 4096) {
        std::vector<char> room(size + 1);
        return os().receive(fd, room.data(), size);
    }
    // One receive, after as long as it takes for there to be an answer.
    long receive_soon(int fd) {
        long result = -EAGAIN;
        eventually([&] { return (result = receive(fd)) != -EAGAIN; });
        return result;
    }
    // Reads so many bytes, or as many as come before an error or the end.
    std::string read(int fd, std::size_t size) {
        std::string all;
        std::vector<char> room(size);
        eventually([&] {
            const long count = os().receive(fd, room.data(), size - all.size());
            if (count > 0) all.append(room.data(), static_cast<std::size_t>(count));
            return all.size() == size || (count <= 0 && count != -EAGAIN);
        });
        return all;
    }
    // Sends until nothing more is taken, for a while; how much was.
    std::size_t fill(int fd) {
        const std::string piece(16384, 'x');
        std::size_t sum = 0;
        for (int quiet = 0; quiet < 4; ++quiet, settle()) {
            long count = 0;
            for (; (count = send(fd, piece)) > 0; quiet = 0) sum += static_cast<std::size_t>(count);
            CHECK(count == -EAGAIN);
        }
        return sum;
    }

    // What poll(2) would say of a descriptor, now; and the same, awaited.
    std::string bits(int fd) {
        const owned_fd fresh = own(os().create_poller());
        if (os().control(fresh, cove::kernel::registration::add, fd, {any_event, 0}) < 0) return "no answer";
        cove::readiness_event told;
        return os().wait(fresh, &told, 1, cove::duration::zero()) == 1 ? text_of(told.bits) : "";
    }
    auto bits_soon(int fd) {
        return soon([this, fd](std::string& last, const auto& expected) {
            return eventually([&] { return (last = bits(fd)) == expected; });
        });
    }
};

// Both ends of a connection.
struct ends {
    owned_fd left;   // accepted
    owned_fd right;  // the one that has connected
};

inline ends platform::connected_pair(std::string_view where) {
    const owned_fd listener = listen_on(where);
    owned_fd right = connect_to(local(listener));
    return {accept_soon(listener), std::move(right)};
}

class poller {
public:
    explicit poller(platform& on) : on_(on), fd_(on.own(on.os().create_poller())) {}

    int fd() const noexcept { return fd_; }
    int add(int fd, std::uint32_t bits, std::uint64_t data = 0) {
        return on_.os().control(fd_, cove::kernel::registration::add, fd, {bits, data});
    }
    int mod(int fd, std::uint32_t bits, std::uint64_t data = 0) {
        return on_.os().control(fd_, cove::kernel::registration::modify, fd, {bits, data});
    }
    int del(int fd) { return on_.os().control(fd_, cove::kernel::registration::remove, fd, {}); }

    std::vector<cove::readiness_event> events_now(int events_max = 16) {
        std::vector<cove::readiness_event> told(static_cast<std::size_t>(events_max));
        const int count = on_.os().wait(fd_, told.data(), events_max, cove::duration::zero());
        REQUIRE(count >= 0);
        told.resize(static_cast<std::size_t>(count));
        return told;
    }
    // The data words of the events that there are.
    std::vector<std::uint64_t> data_now(int events_max = 16) {
        std::vector<std::uint64_t> words;
        for (const cove::readiness_event& each : events_now(events_max)) words.push_back(std::uint64_t{each.data});
        return words;
    }
    // The bits of the one event that there is; empty if there is none.
    std::string bits_now() {
        const std::vector<cove::readiness_event> told = events_now();
        REQUIRE(told.size() <= 1);
        return told.empty() ? "" : text_of(told[0].bits);
    }
    // Nothing comes, now or a little later.
    bool is_silent() {
        if (!events_now().empty()) return false;
        on_.settle();
        return events_now().empty();
    }

private:
    platform& on_;
    owned_fd fd_;
};

class linux_platform final : public platform {
public:
    cove::kernel& os() override { return cove::linux_kernel(); }
    // By a wait for nothing: the kernel delivers on its own.
    void pass(cove::duration length) override {
        cove::readiness_event none;
        os().wait(nothing_, &none, 1, length);
    }

private:
    // Made beforehand, for cases that use up all descriptors.
    const owned_fd nothing_ = own(os().create_poller());
};

class sim_platform final : public platform {
public:
    cove::kernel& os() override { return machine_.os(); }
    void pass(cove::duration length) override { world_.pass(length); }

private:
    cove::sim::world world_{1};
    cove::sim::host& machine_ = world_.host("machine");
};

}  // namespace test

// What every conformance case runs on: TEST_CASE_TEMPLATE("a fact", Platform, EVERY_PLATFORM) { Platform on; ... }
#define EVERY_PLATFORM test::linux_platform, test::sim_platform
