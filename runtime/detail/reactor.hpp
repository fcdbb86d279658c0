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
}  // namespace cove

namespace cove::detail {

class reactor;

// A descriptor's place in the reactor. Its address is stable while the descriptor is attached.
struct slot {
    reactor* home = nullptr;
    descriptor* owner = nullptr;  // null: a borrowed descriptor
    union {
        io_waiter* reader = nullptr;
        slot* next_free;
    };
    io_waiter* writer = nullptr;
    int fd = -1;
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    bool readable = true;  // optimistic until the first EAGAIN
    bool writable = true;
    bool registered : 1 = false;
    bool read_ended : 1 = false;  // hang-up, error or urgent data was seen: no further edge may come
    bool write_ended : 1 = false;

    io_waiter*& place(direction d) noexcept { return d == direction::read ? reader : writer; }
    bool ready(direction d) const noexcept { return d == direction::read ? readable : writable; }

    // Whether events of this direction come by themselves: of a borrowed descriptor each wait has to ask for its own.
    bool armed() const noexcept { return registered && owner != nullptr; }

    // The system call said EAGAIN.
    void clear(direction d) noexcept {
        if (d == direction::read)
            readable = false;
        else
            writable = false;
    }

    // The system call moved less than was asked for, so the next would say EAGAIN, unless the stream has ended: data
    // and its end that arrived together gave one edge only.
    void clear_after_short(direction d) noexcept {
        if (!(d == direction::read ? read_ended : write_ended)) clear(d);
    }
};

class reactor {
public:
    // wake_fd: an event descriptor by which other threads and signal handlers end a poll(). Throws std::system_error.
    reactor(kernel& os, int wake_fd);
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
    bool turn_away_borrowers(int fd) noexcept;
    std::uint64_t tag(const slot& item) const noexcept { return std::uint64_t{item.generation} << 32 | item.index; }
    int control(kernel::registration what, const slot& item, std::uint32_t bits) noexcept;

    kernel& os_;
    int poller_ = -1;
    unsigned fork_count_;
    std::vector<std::unique_ptr<slot[]>> blocks_;  // of slots, by index
    slot* first_free_ = nullptr;
    std::vector<slot*> borrowed_;         // by descriptor number
    readiness_event events_[events_max];  // of one poll
};

}  // namespace cove::detail
