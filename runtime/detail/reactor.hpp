// The reactor: which descriptor is ready for what, and who waits for it.
//
// A descriptor is registered with epoll once, edge-triggered, for everything, and only when an operation first has to
// wait. From then on its readiness is cached here: operations try their system call only while the cache says ready.
// epoll's data is a slot number and a generation, never a pointer, so an event for a descriptor that was closed,
// reused or inherited by another process is recognised and dropped.
//
// Descriptors that cove does not own are registered for one event at a time (EPOLLONESHOT) and removed after it, which
// is level-triggered in effect and leaves nothing behind when their owner closes them.

#pragma once

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/kernel.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace cove {
class io_waiter;
class loop;
}  // namespace cove

namespace cove::detail {

class reactor;

// A descriptor's place in the reactor. Its address is stable while the descriptor is attached.
struct slot {
    reactor* home = nullptr;
    descriptor* owner = nullptr;  // null: a borrowed descriptor
    union {
        io_waiter* waiting[2] = {};  // here and below: by direction
        slot* next_free;
    };
    int fd = -1;
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    bool ready[2] = {true, true};  // optimistic until the first EAGAIN
    bool registered = false;
    unsigned char ended = 0;  // bits: hang-up, error or urgent data was seen, and no further edge may come

    io_waiter*& waits_for(direction d) noexcept { return waiting[static_cast<unsigned>(d)]; }
    bool& is_ready(direction d) noexcept { return ready[static_cast<unsigned>(d)]; }

    // Whether events of this direction come by themselves: of a borrowed descriptor each wait has to ask for its own.
    bool armed() const noexcept { return registered && owner != nullptr; }

    // After an event: an operation may go ahead.
    void mark(direction d, bool is_end) noexcept {
        is_ready(d) = true;
        if (is_end) ended = static_cast<unsigned char>(ended | 1U << static_cast<unsigned>(d));
    }

    // The system call moved less than was asked for, so the next would say EAGAIN, unless the stream has ended: data
    // and its end that arrived together gave one edge only.
    void clear_after_short(direction d) noexcept {
        if ((ended >> static_cast<unsigned>(d) & 1U) == 0) is_ready(d) = false;
    }
};

class reactor {
public:
    // Of a loop: wake_fd is an event descriptor by which other threads and signal handlers end a poll(). Throws
    // std::system_error.
    reactor(loop& owner, int wake_fd);
    reactor(const reactor&) = delete;
    reactor& operator=(const reactor&) = delete;
    ~reactor();

    kernel& os() const noexcept { return os_; }

    // Gives a descriptor a slot; makes no system call. detach() ends that; operations that wait get errc::closed.
    slot& attach(descriptor& owner, int fd);
    void detach(slot& item) noexcept;

    // Gives a slot to a descriptor that cove does not own, the same one as long as somebody waits for it.
    slot& borrow(int fd);
    void return_if_unused(slot& item) noexcept;

    // Makes sure that epoll reports this direction. Returns 0 or a raw error.
    long arm(slot& item, direction d) noexcept;

    // Waits for events for at most timeout (negative: without end) and wakes those who wait for them. Returns how many there
    // were, or -errno.
    int poll(duration timeout) noexcept;

    // How many operations wait for a descriptor.
    long waiting = 0;

    // How often a descriptor has been registered with epoll.
    std::uint64_t registrations = 0;

private:
    static constexpr std::size_t slots_per_block = 64;
    static constexpr int events_max = 256;

    slot& slot_at(std::size_t index) const noexcept {
        return blocks_[index / slots_per_block][index % slots_per_block];
    }
    slot& take_slot(int fd);
    void add_block();
    void free_slot(slot& item) noexcept;
    void dispatch(const readiness_event& event) noexcept;
    void wake(io_waiter* waiting_one) noexcept;
    bool turn_away_borrowers(int fd) noexcept;
    std::uint64_t tag(const slot& item) const noexcept { return std::uint64_t{item.generation} << 32 | item.index; }
    int control(kernel::registration what, const slot& item, std::uint32_t bits) noexcept;

    loop& loop_;
    kernel& os_;
    int poller_ = -1;
    unsigned fork_count_;
    std::vector<std::unique_ptr<slot[]>> blocks_;  // of slots, by index
    slot* first_free_ = nullptr;
    std::vector<slot*> borrowed_;         // by descriptor number
    readiness_event events_[events_max];  // of one poll
};

}  // namespace cove::detail
