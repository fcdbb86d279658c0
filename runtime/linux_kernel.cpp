// The kernel interface by Linux system calls: the only file that includes <sys/epoll.h>.

#include <cove/runtime/kernel.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <mutex>
#include <utility>

namespace cove {
namespace {

constexpr bool agree(std::uint32_t ours, std::uint32_t theirs) { return ours == theirs; }
static_assert(agree(kernel::event_in, EPOLLIN) && agree(kernel::event_out, EPOLLOUT) &&
              agree(kernel::event_urgent, EPOLLPRI));
static_assert(agree(kernel::event_error, EPOLLERR) && agree(kernel::event_hang_up, EPOLLHUP));
static_assert(agree(kernel::event_read_hang_up, EPOLLRDHUP));
static_assert(agree(kernel::event_edge, EPOLLET) && agree(kernel::event_one_shot, EPOLLONESHOT));
static_assert(static_cast<int>(kernel::registration::add) == EPOLL_CTL_ADD);
static_assert(static_cast<int>(kernel::registration::remove) == EPOLL_CTL_DEL);
static_assert(static_cast<int>(kernel::registration::modify) == EPOLL_CTL_MOD);

static_assert(sizeof(readiness_event) == sizeof(epoll_event));
static_assert(offsetof(readiness_event, bits) == offsetof(epoll_event, events));
static_assert(offsetof(readiness_event, data) == offsetof(epoll_event, data));
epoll_event* as_epoll(readiness_event* events) noexcept { return reinterpret_cast<epoll_event*>(events); }

template <class Result>
Result or_errno(Result result) noexcept {
    return result < 0 ? static_cast<Result>(-errno) : result;
}

// Signal delivery. A handler may run on any thread at any moment, so it only reads this table of atomics.
// `handlers_running` lets unsubscribe() wait until no handler can still hold the mailbox it takes out.
constexpr std::size_t mailboxes_max = 256;
constexpr int signals_max = 64;
std::atomic<signal_mailbox*> mailboxes[mailboxes_max];
std::atomic<int> handlers_running{0};

std::mutex dispositions_mutex;
int subscriptions[signals_max + 1];
struct sigaction previous_dispositions[signals_max + 1];

std::uint64_t signal_bit(int signo) noexcept { return std::uint64_t{1} << (signo - 1); }

void wake(int event_fd) noexcept {
    const std::uint64_t one = 1;
    // It can only fail when the counter is full, and then the descriptor is readable anyway.
    [[maybe_unused]] const ssize_t written = ::write(event_fd, &one, sizeof one);
}

extern "C" void cove_on_signal(int signo) {
    const int saved_errno = errno;
    handlers_running.fetch_add(1);
    for (std::atomic<signal_mailbox*>& entry : mailboxes) {
        signal_mailbox* mailbox = entry.load();
        if (mailbox == nullptr || (mailbox->wanted.load() & signal_bit(signo)) == 0) continue;
        mailbox->pending.fetch_or(signal_bit(signo));
        wake(mailbox->event_fd);
    }
    handlers_running.fetch_sub(1);
    errno = saved_errno;
}

// splice(2) and sendfile(2) raise SIGPIPE where send(2) can be told not to. So for as long as the call takes the thread
// blocks the signal, and takes back the one that it has caused itself; one that was pending before stays.
template <class Call>
long without_sigpipe(Call call) noexcept {
    sigset_t pipe_signal, before, pending;
    ::sigemptyset(&pipe_signal);
    ::sigaddset(&pipe_signal, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    const bool was_pending =
        ::sigismember(&before, SIGPIPE) == 1 && ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 1;
    const long result = or_errno(call());
    if (result == -EPIPE && !was_pending) {
        constexpr timespec at_once{};
        while (::sigtimedwait(&pipe_signal, nullptr, &at_once) < 0 && errno == EINTR) {
        }
    }
    if (::sigismember(&before, SIGPIPE) == 0) ::pthread_sigmask(SIG_UNBLOCK, &pipe_signal, nullptr);
    return result;
}

// A set of processors, as large as any that Linux can be built for: sched_getaffinity(2) refuses a smaller one than its own.
struct processor_set {
    static constexpr int size = 8 * CPU_SETSIZE;
    cpu_set_t bits[8] = {};

    bool has(int number) const noexcept { return CPU_ISSET_S(number, sizeof bits, bits); }
    void add(int number) noexcept { CPU_SET_S(number, sizeof bits, bits); }
    int load() noexcept { return or_errno(::sched_getaffinity(0, sizeof bits, bits)); }
    int apply() const noexcept { return or_errno(::sched_setaffinity(0, sizeof bits, bits)); }
};

// Where this thread could run before it was pinned, and to what it is.
thread_local processor_set before_pinning;
thread_local int pinned_to = -1;

class linux_kernel_calls final : public kernel {
public:
    linux_kernel_calls() noexcept {
        ::pthread_atfork(nullptr, nullptr, [] { forks_.fetch_add(1); });
    }

    time_point now() noexcept override {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    }

    int socket(int family, int type, int protocol) noexcept override {
        return or_errno(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    }
    int bind(int fd, const sockaddr* address, unsigned size) noexcept override {
        return or_errno(::bind(fd, address, size));
    }
    int listen(int fd, int backlog) noexcept override { return or_errno(::listen(fd, backlog)); }
    int accept(int fd) noexcept override {
        return or_errno(::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    }
    int connect(int fd, const sockaddr* address, unsigned size) noexcept override {
        return or_errno(::connect(fd, address, size));
    }
    int shutdown(int fd, int how) noexcept override { return or_errno(::shutdown(fd, how)); }
    int local_address(int fd, sockaddr* address, unsigned* size) noexcept override {
        return or_errno(::getsockname(fd, address, size));
    }
    int peer_address(int fd, sockaddr* address, unsigned* size) noexcept override {
        return or_errno(::getpeername(fd, address, size));
    }
    int set_option(int fd, int level, int name, const void* value, unsigned size) noexcept override {
        return or_errno(::setsockopt(fd, level, name, value, size));
    }
    int get_option(int fd, int level, int name, void* value, unsigned* size) noexcept override {
        return or_errno(::getsockopt(fd, level, name, value, size));
    }
    [[gnu::hot]] long receive(int fd, void* data, std::size_t size) noexcept override {
        return or_errno(::recv(fd, data, size, 0));
    }
    [[gnu::hot]] long send(int fd, const void* data, std::size_t size) noexcept override {
        return or_errno(::send(fd, data, size, MSG_NOSIGNAL));
    }
    long send_message(int fd, const msghdr& message) noexcept override {
        return or_errno(::sendmsg(fd, &message, MSG_NOSIGNAL));
    }
    int close(int fd) noexcept override { return or_errno(::close(fd)); }

    int create_pipe(int (&ends)[2]) noexcept override {
        if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
        // The most that any user may ask for. Who has many pipes is refused it, and makes do with the system's default.
        constexpr int pipe_bytes = 1024 * 1024;
        ::fcntl(ends[1], F_SETPIPE_SZ, pipe_bytes);
        return 0;
    }
    long receive_to_pipe(int fd, int pipe, std::size_t size) noexcept override {
        return or_errno(::splice(fd, nullptr, pipe, nullptr, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE));
    }
    long send_from_pipe(int fd, int pipe, std::size_t size) noexcept override {
        return without_sigpipe(
            [&] { return ::splice(pipe, nullptr, fd, nullptr, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE); });
    }
    long send_file(int fd, int file, std::uint64_t offset, std::size_t size) noexcept override {
        auto from = static_cast<off_t>(offset);
        return without_sigpipe([&] { return ::sendfile(fd, file, &from, size); });
    }

    int create_poller() noexcept override { return or_errno(::epoll_create1(EPOLL_CLOEXEC)); }
    int control(int poller, registration what, int fd, readiness_event event) noexcept override {
        return or_errno(::epoll_ctl(poller, static_cast<int>(what), fd, as_epoll(&event)));
    }
    [[gnu::hot]] int wait(int poller, readiness_event* events, int events_max, duration timeout) noexcept override {
        return wait_native(poller, as_epoll(events), events_max, timeout);
    }

    int create_event() noexcept override { return or_errno(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }
    int signal_event(int fd) noexcept override {
        wake(fd);
        return 0;
    }

    int subscribe(int signo, signal_mailbox& mailbox) noexcept override {
        if (signo < 1 || signo > signals_max) return -EINVAL;
        const std::lock_guard lock(dispositions_mutex);
        if (subscriptions[signo] == 0) {
            struct sigaction action {};
            action.sa_handler = cove_on_signal;
            action.sa_flags = SA_RESTART;
            ::sigfillset(&action.sa_mask);
            if (::sigaction(signo, &action, &previous_dispositions[signo]) < 0) return -errno;
        }
        if (mailbox.wanted.load() == 0 && !replace_mailbox(nullptr, &mailbox)) {
            if (subscriptions[signo] == 0) ::sigaction(signo, &previous_dispositions[signo], nullptr);
            return -EMFILE;
        }
        ++subscriptions[signo];
        mailbox.wanted.fetch_or(signal_bit(signo));
        return 0;
    }

    void unsubscribe(int signo, signal_mailbox& mailbox) noexcept override {
        const std::lock_guard lock(dispositions_mutex);
        if (--subscriptions[signo] == 0) ::sigaction(signo, &previous_dispositions[signo], nullptr);
        mailbox.wanted.fetch_and(~signal_bit(signo));
        mailbox.pending.fetch_and(~signal_bit(signo));
        if (mailbox.wanted.load() != 0) return;
        replace_mailbox(&mailbox, nullptr);
        while (handlers_running.load() != 0) ::sched_yield();  // only while another thread is inside the handler
    }

    std::uint64_t random() noexcept override {
        std::uint64_t bits = 0;
        while (::getrandom(&bits, sizeof bits, 0) < 0) {  // EINTR; up to 256 bytes come whole
        }
        return bits;
    }

    int processors(int* numbers, int numbers_max) noexcept override {
        processor_set allowed;
        if (const int asked = allowed.load(); asked < 0) return asked;
        int count = 0;
        for (int number = 0; number < processor_set::size && count < numbers_max; ++number)
            if (allowed.has(number)) numbers[count++] = number;
        return count;
    }
    int pin(int processor) noexcept override {
        if (processor < 0 || processor >= processor_set::size) return -EINVAL;
        processor_set before, only;
        if (const int asked = before.load(); asked < 0) return asked;
        only.add(processor);
        if (const int bound = only.apply(); bound < 0) return bound;
        if (pinned_to < 0) before_pinning = before;
        pinned_to = processor;
        return 0;
    }
    int unpin() noexcept override {
        // It fails only if none of those processors is there any more, and then the thread stays where it is.
        if (pinned_to >= 0) before_pinning.apply();
        return std::exchange(pinned_to, -1);
    }

private:
    static int wait_native(int poller, epoll_event* events, int events_max, duration timeout) noexcept {
        if (timeout <= duration::zero())
            return or_errno(::epoll_wait(poller, events, events_max, timeout == duration::zero() ? 0 : -1));
            // epoll_pwait2 (Linux 5.11, glibc 2.35) counts in nanoseconds; epoll_wait in milliseconds, so round up there.
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
        static std::atomic<bool> have_epoll_pwait2{true};
        if (have_epoll_pwait2.load(std::memory_order_relaxed)) {
            const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
            const timespec limit{seconds.count(), static_cast<long>((timeout - seconds).count())};
            const int count = or_errno(::epoll_pwait2(poller, events, events_max, &limit, nullptr));
            if (count != -ENOSYS && count != -EPERM) return count;  // a sandbox may answer EPERM
            have_epoll_pwait2.store(false, std::memory_order_relaxed);
        }
#endif
        constexpr std::chrono::milliseconds longest{
            1'000'000'000};  // waking early is allowed by the loop: it looks again
        const auto rounded = std::min(std::chrono::ceil<std::chrono::milliseconds>(timeout), longest);
        return or_errno(::epoll_wait(poller, events, events_max, static_cast<int>(rounded.count())));
    }

    static bool replace_mailbox(signal_mailbox* from, signal_mailbox* to) noexcept {
        for (std::atomic<signal_mailbox*>& entry : mailboxes) {
            signal_mailbox* expected = from;
            if (entry.compare_exchange_strong(expected, to)) return true;
        }
        return false;
    }
};

}  // namespace

kernel& linux_kernel() noexcept {
    // A union does not destroy what it holds: a pool's thread may still be there when the process ends.
    static union lasting {
        lasting() noexcept : calls() {}
        ~lasting() {}
        linux_kernel_calls calls;
    } instance;
    return instance.calls;
}

}  // namespace cove
