// The simulated kernel of one host: answers every call from memory, as Linux would.
//
// Sockets are TCP over IPv4 and IPv6; there are no datagrams and Unix sockets (EAFNOSUPPORT, EPROTONOSUPPORT), and no files but
// those of the process that simulates. tests/sim/conformance_*_test.cpp compare it with Linux, call by call.

#pragma once

#include <cove/net/sim/calls.hpp>
#include <cove/net/sim/detail/poller.hpp>
#include <cove/net/sim/detail/tcp_stack.hpp>
#include <cove/net/sim/detail/universe.hpp>
#include <cove/runtime/kernel.hpp>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace cove::sim {

class kernel final : public cove::kernel, private detail::poller_host {
public:
    kernel(detail::universe& all, detail::network& wires, detail::machine& at,
           std::vector<detail::endpoint> addresses) noexcept;
    ~kernel() override;

    time_point now() noexcept override { return clock_.read(all_.now); }

    int socket(int family, int type, int protocol) noexcept override;
    int bind(int fd, const sockaddr* address, unsigned size) noexcept override;
    int listen(int fd, int backlog) noexcept override;
    int accept(int fd) noexcept override;
    int connect(int fd, const sockaddr* address, unsigned size) noexcept override;
    int shutdown(int fd, int how) noexcept override;
    int local_address(int fd, sockaddr* address, unsigned* size) noexcept override;
    int peer_address(int fd, sockaddr* address, unsigned* size) noexcept override;
    int set_option(int fd, int level, int name, const void* value, unsigned size) noexcept override;
    int get_option(int fd, int level, int name, void* value, unsigned* size) noexcept override;
    long receive(int fd, void* data, std::size_t size) noexcept override;
    long send(int fd, const void* data, std::size_t size) noexcept override;
    long send_message(int fd, const msghdr& message) noexcept override;
    int create_pipe(int (&ends)[2]) noexcept override;
    long receive_to_pipe(int fd, int pipe, std::size_t size) noexcept override;
    long send_from_pipe(int fd, int pipe, std::size_t size) noexcept override;
    // The file is one of the process's own.
    long send_file(int fd, int file, std::uint64_t offset, std::size_t size) noexcept override;
    int close(int fd) noexcept override;

    int create_poller() noexcept override;
    int control(int poller, registration what, int fd, readiness_event event) noexcept override;

    // While the world steps this host's loop it does not wait, but notes until when the loop wants to sleep. Called by
    // anybody else it lets the world go on until there is an event.
    int wait(int poller, readiness_event* events, int events_max, duration timeout) noexcept override;

    int create_event() noexcept override;
    int signal_event(int fd) noexcept override;
    int subscribe(int signo, signal_mailbox& mailbox) noexcept override;
    void unsubscribe(int signo, signal_mailbox& mailbox) noexcept override;
    std::uint64_t random() noexcept override { return random_.next(); }
    // Calls of offload() are made between two turns of a loop, all at once; nothing ever runs beside the program.
    bool defer(void (*call)(void* context, bool make) noexcept, void* context) noexcept override;
    int processors(int* numbers, int numbers_max) noexcept override;
    int pin(int processor) noexcept override { return processor == 0 ? 0 : -EINVAL; }
    int unpin() noexcept override { return -1; }

    // Who is told that a loop which sleeps has something to do.
    class sleeper {
    public:
        virtual void wake() = 0;

    protected:
        ~sleeper() = default;
    };

    // The world's side of it.
    void begin_step(sleeper& to_wake) noexcept;
    void end_step() noexcept { is_stepped_ = false; }
    time_point sleeps_until() const noexcept { return sleeps_until_; }
    bool has_ready_events() const noexcept;

    // Sends a signal to the process; returns whether anybody had subscribed to it.
    bool raise(int signo);

    // The process ends: what it had open is closed. Returns how many descriptors it had left open.
    int close_all() noexcept;
    // The power goes, and whatever the kernel knew with it.
    void lose_power() noexcept;

    std::string describe_open() const;

    void jump_clock(duration by) noexcept;
    void set_clock(duration offset, std::int64_t drift_ppb) noexcept;
    void set_descriptors_max(int count) noexcept { descriptors_max_ = count; }
    detail::tcp_stack& tcp() noexcept { return tcp_; }
    const detail::tcp_stack& tcp() const noexcept { return tcp_; }

private:
    static constexpr int first_descriptor = 3;  // after stdin, stdout and stderr

    // What a host's clock shows: the world's time, from another start, and a little faster or slower.
    struct host_clock {
        duration offset{};
        std::int64_t drift_ppb = 0;
        time_point read(time_point world) const noexcept;
        duration to_world(duration length) const noexcept;
    };

    void has_events() override;
    bool delays(detail::poller& from, int fd) override;

    template <class File>
    std::shared_ptr<File> find(int fd, int& error) const noexcept;
    bool has_room() const noexcept { return open_ + first_descriptor < descriptors_max_; }
    int install(std::shared_ptr<detail::file> opened);
    bool strikes(fault kind) noexcept { return all_.strikes(kind, machine_); }
    int exhausted(bool with_buffers) noexcept;
    void tell_again(const std::shared_ptr<detail::file>& file, std::uint32_t bits);
    int accept_injected(detail::tcp_socket& listener, const std::shared_ptr<detail::file>& file, int error);
    long transfer_injected(const std::shared_ptr<detail::tcp_socket>& socket, std::uint32_t direction, int error);
    long receive_part(const std::shared_ptr<detail::tcp_socket>& socket, int injected, char* data, std::size_t size);
    long send_part(detail::tcp_socket& socket, const std::shared_ptr<detail::file>& file, std::string_view data);

    detail::universe& all_;
    detail::machine& machine_;
    detail::tcp_stack tcp_;
    generator random_;
    host_clock clock_;
    std::vector<std::shared_ptr<detail::file>> files_;  // by descriptor
    std::vector<const detail::poller*> pollers_;        // those of them
    int open_ = 0;
    int descriptors_max_ = 1024;
    std::vector<std::pair<int, signal_mailbox*>> mailboxes_;
    sleeper* sleeper_ = nullptr;
    bool is_stepped_ = false;
    time_point sleeps_until_{};
};

template <class File>
std::shared_ptr<File> kernel::find(int fd, int& error) const noexcept {
    const auto index = static_cast<std::size_t>(fd);
    if (fd < 0 || index >= files_.size() || files_[index] == nullptr) {
        error = -EBADF;
        return nullptr;
    }
    auto found = std::dynamic_pointer_cast<File>(files_[index]);
    if (found == nullptr) error = std::is_same_v<File, detail::tcp_socket> ? -ENOTSOCK : -EINVAL;
    return found;
}

}  // namespace cove::sim
