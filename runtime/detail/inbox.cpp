#include <cove/runtime/detail/inbox.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

#include <thread>

namespace cove::detail {
namespace {

// Stands in last_ once the inbox is closed; it is never run.
class closed_mark final : public posted {
    void run() noexcept override {}
    void drop() noexcept override {}
};
closed_mark closed;

}  // namespace

inbox& inbox::create(kernel& os) {
    const int event_fd = os.create_event();
    if (event_fd < 0) throw_error(to_error_code(event_fd), "eventfd", {});
    return *new inbox(os, event_fd);
}

inbox::inbox(kernel& os, int event_fd) noexcept : os_(os) { signals.event_fd = event_fd; }

void inbox::let_go() noexcept {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void inbox::remove_poster() noexcept {
    const entry guard(*this);
    if (posters_.fetch_sub(1, std::memory_order_acq_rel) > 1 || is_closed()) return;
    loop* const running = this_thread.running;
    const bool is_awake = running != nullptr && &running->inbox() == this;
    if (!is_awake) os_.signal_event(signals.event_fd);
}

bool inbox::push(posted& item) noexcept {
    const entry guard(*this);
    posted* last = last_.load();
    do {
        if (last == &closed) return false;
        item.next_ = last;
    } while (!last_.compare_exchange_weak(last, &item));
    if (last == nullptr) os_.signal_event(signals.event_fd);
    return true;
}

bool inbox::is_closed() const noexcept { return last_.load() == &closed; }

posted* inbox::take_all(posted* leave_behind) noexcept {
    posted* last = last_.exchange(leave_behind);
    posted* first = nullptr;
    while (last != nullptr) {
        posted* before = last->next_;
        last->next_ = first;
        first = last;
        last = before;
    }
    return first;
}

std::size_t inbox::run_all() noexcept {
    std::size_t count = 0;
    for (posted* item = take_all(nullptr); item != nullptr;) {
        posted* after = item->next_;
        item->run();
        item = after;
        ++count;
    }
    return count;
}

void inbox::close() noexcept {
    if (is_closed()) return;
    posted* item = take_all(&closed);
    // Who entered before that is about to leave, and who enters later finds it closed.
    while (entering_.load() > 0) std::this_thread::yield();
    os_.close(signals.event_fd);
    while (item != nullptr) {
        posted* after = item->next_;
        item->drop();
        item = after;
    }
}

}  // namespace cove::detail
