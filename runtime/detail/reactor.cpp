#include <cove/runtime/detail/reactor.hpp>

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/io_waiter.hpp>
#include <cove/runtime/loop.hpp>

#include <cerrno>
#include <utility>

namespace cove::detail {
namespace {

constexpr std::uint32_t wake_index = 0xffff'ffff;

constexpr std::uint32_t ends = kernel::event_hang_up | kernel::event_error;
// With urgent data (EPOLLPRI) a read stops short although more follows: from then on a short read proves nothing.
constexpr std::uint32_t read_ends = ends | kernel::event_read_hang_up | kernel::event_urgent;
constexpr std::uint32_t everything =
    kernel::event_in | kernel::event_out | kernel::event_read_hang_up | kernel::event_urgent | kernel::event_edge;

// Ends what waits for a slot. Its last waiter may return a borrowed slot, so both are read first.
void abandon_all(slot& item, errc why) noexcept {
    for (io_waiter* waiting_one : {item.waiting[0], item.waiting[1]})
        if (waiting_one != nullptr) waiting_one->abandon(raw(why));
}

}  // namespace

[[gnu::cold]] reactor::reactor(loop& owner, int wake_fd)
    : loop_(owner), os_(owner.os()), fork_count_(kernel::fork_count()) {
    poller_ = os_.create_poller();
    if (poller_ < 0) throw_error(to_error_code(poller_), "epoll_create1", {});
    // Edge-triggered, so that nobody ever has to read the counter: each write to it is a new edge.
    const readiness_event edges{kernel::event_in | kernel::event_edge, wake_index};
    const int added = os_.control(poller_, kernel::registration::add, wake_fd, edges);
    if (added >= 0) return;
    os_.close(poller_);
    throw_error(to_error_code(added), "epoll_ctl", "of the loop's event descriptor");
}

[[gnu::cold]] reactor::~reactor() {
    for (const auto& block : blocks_)
        for (std::size_t i = 0; i < slots_per_block; ++i)
            if (block[i].owner != nullptr) detach(block[i]);
    os_.close(poller_);
}

[[gnu::cold]] void reactor::add_block() {
    const std::size_t first = blocks_.size() * slots_per_block;
    blocks_.push_back(std::make_unique<slot[]>(slots_per_block));
    for (std::size_t i = slots_per_block; i-- > 0;) {
        slot& item = blocks_.back()[i];
        item.index = static_cast<std::uint32_t>(first + i);
        item.next_free = std::exchange(first_free_, &item);
    }
}

slot& reactor::take_slot(int fd) {
    if (first_free_ == nullptr) add_block();
    slot& item = *first_free_;
    first_free_ = item.next_free;
    item.waiting[0] = item.waiting[1] = nullptr;
    item.home = this;
    item.fd = fd;
    return item;
}

void reactor::free_slot(slot& item) noexcept {
    const std::uint32_t index = item.index;
    const std::uint32_t generation = item.generation + 1;
    item = slot();
    item.index = index;
    item.generation = generation;
    item.next_free = std::exchange(first_free_, &item);
}

slot& reactor::attach(descriptor& owner, int fd) {
    slot& item = take_slot(fd);
    item.owner = &owner;
    return item;
}

void reactor::detach(slot& item) noexcept {
    abandon_all(item, errc::closed);
    // Removed before it is closed: a description that lives on elsewhere (dup, fork, SCM_RIGHTS) would stay registered,
    // beyond reach. It fails only if the number was closed behind our back, and then there is nothing to remove.
    if (item.registered) control(kernel::registration::remove, item, 0);
    item.owner->forget_slot();
    free_slot(item);
}

slot& reactor::borrow(int fd) {
    const auto number = static_cast<std::size_t>(fd);
    if (number >= borrowed_.size()) borrowed_.resize(number + 1);
    if (borrowed_[number] == nullptr) {
        borrowed_[number] = &take_slot(fd);
        borrowed_[number]->ready[0] = borrowed_[number]->ready[1] = false;
    }
    return *borrowed_[number];
}

void reactor::return_if_unused(slot& item) noexcept {
    // The event that ended one wait disarmed the other one too. It fails only if the number was closed meanwhile, and
    // then no event would come anyway.
    for (const direction d : {direction::read, direction::write}) {
        if (item.waits_for(d) == nullptr) continue;
        arm(item, d);
        return;
    }
    if (item.registered)
        control(kernel::registration::remove, item, 0);  // fails only if it was closed: nothing to remove
    borrowed_[static_cast<std::size_t>(item.fd)] = nullptr;
    free_slot(item);
}

long reactor::arm(slot& item, direction d) noexcept {
    if (item.owner != nullptr) {
        if (item.registered) return 0;
        int added = control(kernel::registration::add, item, everything);
        if (added == -EEXIST && turn_away_borrowers(item.fd))
            added = control(kernel::registration::add, item, everything);
        item.registered = added >= 0;
        return added;
    }
    std::uint32_t bits = kernel::event_one_shot;
    if (d == direction::read || item.waits_for(direction::read) != nullptr)
        bits |= kernel::event_in | kernel::event_read_hang_up;
    if (d == direction::write || item.waits_for(direction::write) != nullptr) bits |= kernel::event_out;
    int armed = control(item.registered ? kernel::registration::modify : kernel::registration::add, item, bits);
    if (armed == -ENOENT) armed = control(kernel::registration::add, item, bits);  // closed and reused meanwhile
    if (armed == -EEXIST) return raw(errc::busy);                                  // one of cove's own sockets
    item.registered = armed >= 0;
    return armed;
}

// Somebody waits, by readable() or writable(), for a descriptor that turns out to be one of cove's own.
bool reactor::turn_away_borrowers(int fd) noexcept {
    const auto number = static_cast<std::size_t>(fd);
    if (number >= borrowed_.size() || borrowed_[number] == nullptr) return false;
    abandon_all(*borrowed_[number], errc::busy);
    return true;
}

int reactor::control(kernel::registration what, const slot& item, std::uint32_t bits) noexcept {
    // A forked child shares the poller with its parent: whatever it did here would happen to the parent.
    if (kernel::fork_count() != fork_count_) return -ECHILD;
    const int answer = os_.control(poller_, what, item.fd, {bits, tag(item)});
    if (what == kernel::registration::add && answer >= 0) ++registrations;
    return answer;
}

inline void reactor::wake(io_waiter* waiting_one) noexcept {
    if (waiting_one != nullptr && !waiting_one->runnable::linked()) loop_.make_ready(*waiting_one);
}

// Only marks and wakes: no coroutine runs before the whole batch has been seen, so no event can be stale within it.
[[gnu::always_inline]] inline void reactor::dispatch(const readiness_event& event) noexcept {
    const auto index = static_cast<std::uint32_t>(event.data);
    if (index >= blocks_.size() * slots_per_block) return;  // wake_index: the loop looks at its inbox after every poll
    slot& item = slot_at(index);
    if (item.generation != event.data >> 32) return;
    const std::uint32_t bits = event.bits;
    if ((bits & (read_ends | kernel::event_in)) != 0) {
        item.mark(direction::read, (bits & read_ends) != 0);
        wake(item.waits_for(direction::read));
    }
    if ((bits & (ends | kernel::event_out)) != 0) {
        item.mark(direction::write, (bits & ends) != 0);
        wake(item.waits_for(direction::write));
    }
}

[[gnu::hot]] int reactor::poll(duration timeout) noexcept {
    if (kernel::fork_count() != fork_count_)
        misuse("a loop cannot go on in a forked child; start another one with run()");
    const int count = os_.wait(poller_, events_, events_max, timeout);
    if (count == -EINTR) return 0;
    for (int i = 0; i < count; ++i) dispatch(events_[i]);
    return count;
}

}  // namespace cove::detail
