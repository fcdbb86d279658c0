#include <cove/net/sim/detail/poller.hpp>

#include <algorithm>
#include <cerrno>

namespace cove::sim::detail {
namespace {

constexpr std::uint32_t always_reported = kernel::event_error | kernel::event_hang_up;
constexpr std::uint32_t modes = kernel::event_edge | kernel::event_one_shot;

}  // namespace

void file::changed(std::uint32_t bits) {
    for (interest* each : interests_)
        if (bits == 0 || (bits & each->bits) != 0) each->home->call(*each);
}

void file::forget_interests() noexcept {
    while (!interests_.empty()) interests_.back()->home->drop(*interests_.back());
}

poller::~poller() {
    while (!interests_.empty()) drop(interests_.begin()->second);
}

int poller::add(file& watched, int fd, readiness_event asked) {
    if (interests_.contains(fd)) return -EEXIST;
    interest& registered = interests_[fd];
    registered = {this, &watched, fd, asked.bits | always_reported, asked.data, false};
    watched.interests_.push_back(&registered);
    if ((watched.ready_for() & registered.bits) != 0) enqueue(registered);
    return 0;
}

int poller::modify(file& watched, int fd, readiness_event asked) {
    const auto found = interests_.find(fd);
    if (found == interests_.end() || found->second.of != &watched) return -ENOENT;
    interest& registered = found->second;
    registered.bits = asked.bits | always_reported;
    registered.data = asked.data;
    if ((watched.ready_for() & registered.bits) != 0) enqueue(registered);
    return 0;
}

int poller::remove(file& watched, int fd) noexcept {
    const auto found = interests_.find(fd);
    if (found == interests_.end() || found->second.of != &watched) return -ENOENT;
    drop(found->second);
    return 0;
}

void poller::call(interest& registered) {
    if ((registered.bits & ~modes) == 0) return;  // a one-shot that has fired
    if (registered.is_ready || home_.delays(*this, registered.fd)) return;
    enqueue(registered);
}

void poller::deliver(int fd) {
    const auto found = interests_.find(fd);
    if (found != interests_.end()) enqueue(found->second);
}

void poller::enqueue(interest& registered) {
    if (registered.is_ready) return;
    registered.is_ready = true;
    ready_.push_back(&registered);
    home_.has_events();
    changed(kernel::event_in);
}

void poller::drop(interest& registered) noexcept {
    if (registered.is_ready) std::erase(ready_, &registered);
    std::erase(registered.of->interests_, &registered);
    interests_.erase(registered.fd);
}

int poller::take(readiness_event* events, int events_max) {
    int count = 0;
    std::vector<interest*> again;
    while (count < events_max && !ready_.empty()) {
        interest& registered = *ready_.front();
        ready_.pop_front();
        registered.is_ready = false;
        const std::uint32_t bits = registered.of->ready_for() & registered.bits;
        if (bits == 0) continue;
        events[count++] = {bits, registered.data};
        if ((registered.bits & kernel::event_one_shot) != 0)
            registered.bits &= modes;
        else if ((registered.bits & kernel::event_edge) == 0)
            again.push_back(&registered);
    }
    for (interest* each : again) {
        each->is_ready = true;
        ready_.push_back(each);
    }
    return count;
}

int poller::take_spurious(std::uint64_t chosen, readiness_event* events) noexcept {
    if (interests_.empty()) return 0;
    auto at = interests_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(chosen % interests_.size()));
    const interest& registered = at->second;
    const std::uint32_t bits = registered.bits & (kernel::event_in | kernel::event_out);
    if (bits == 0 || (registered.bits & kernel::event_one_shot) != 0) return 0;
    events[0] = {bits, registered.data};
    return 1;
}

std::uint32_t poller::ready_for() noexcept {
    for (const interest* each : ready_)
        if ((each->of->ready_for() & each->bits) != 0) return kernel::event_in;
    return 0;
}

void event_counter::signal() {
    constexpr std::uint64_t full = 0xffff'ffff'ffff'fffe;
    if (count_ < full) ++count_;
    changed(kernel::event_in);
}

std::uint32_t event_counter::ready_for() noexcept {
    return (count_ > 0 ? kernel::event_in : 0U) | static_cast<std::uint32_t>(kernel::event_out);
}

}  // namespace cove::sim::detail
