// broadcast<T>: every subscriber gets every message, from one ring that all of them share. Tokio's broadcast.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/detail/queued_operation.hpp>
#include <cove/runtime/detail/ring.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace cove {

// Keeps the last `capacity` messages. Sending never waits: a subscriber that is slower than that misses the oldest, and is
// told how many. Each subscriber gets copies; what is dear to copy, or move-only, is sent as a shared_ptr.
// Concurrency: the thread of its loop. Lifetime: must outlive its subscriptions.
template <class T>
class broadcast {
public:
    class subscription;
    class receive_operation;

    struct message {
        T value;
        std::uint64_t missed;  // how many messages were dropped between the one received before and this one
    };

    // Throws: std::bad_alloc.
    explicit broadcast(std::size_t capacity) : ring_(capacity > 0 ? capacity : 1) {}

    // Sends a message to all subscriptions that exist now. Runs no coroutine.
    void send(T value) noexcept;

    // Ends every subscription, once it has received what is in the ring. A later send() reaches nobody.
    void close() noexcept;

private:
    void wake_all() noexcept;

    detail::ring<T> ring_;
    std::uint64_t sent_ = 0;  // the number of the next message
    detail::intrusive_list<receive_operation, detail::queue_tag> waiting_;
    bool closed_ = false;
};

// A place in the stream of messages: that of the next one sent, when it is made. A copy stands at the same place.
template <class T>
class broadcast<T>::subscription {
public:
    explicit subscription(broadcast& source COVE_LIFETIMEBOUND) noexcept : source_(&source), next_(source.sent_) {}

    // Waits for the next message that is still there. Result: empty when the broadcast is closed and all was received.
    // Throws: what copying a T throws; the message can be received again then. Cancellation: takes nothing.
    // One coroutine at a time.
    receive_operation receive() noexcept { return receive_operation(*this); }

    // How many messages are there to be received, counting those that are dropped already.
    std::uint64_t pending() const noexcept { return source_->sent_ - next_; }

private:
    friend class receive_operation;
    broadcast* source_;
    std::uint64_t next_;
};

template <class T>
class [[nodiscard]] broadcast<T>::receive_operation final : public detail::queued_operation<receive_operation> {
    using base = detail::queued_operation<receive_operation>;

public:
    explicit receive_operation(subscription& place) noexcept : place_(&place) {}

    std::optional<message> await_resume() {
        this->throw_if_canceled();
        if (place_->pending() == 0) return std::nullopt;
        broadcast& source = *place_->source_;
        const std::uint64_t oldest = source.sent_ - source.ring_.size();
        const std::uint64_t missed = oldest > place_->next_ ? oldest - place_->next_ : 0;
        const std::uint64_t taken = place_->next_ + missed;
        std::optional<message> result(message{source.ring_[static_cast<std::size_t>(taken - oldest)], missed});
        place_->next_ = taken + 1;
        return result;
    }
    std::string describe() const override { return "broadcast: receive"; }

private:
    friend base;
    friend class broadcast;

    bool try_now() const noexcept { return place_->pending() > 0 || place_->source_->closed_; }
    void enter() noexcept { place_->source_->waiting_.push_back(*this); }

    subscription* place_;
};

template <class T>
void broadcast<T>::send(T value) noexcept {
    static_assert(std::is_nothrow_move_constructible_v<T>, "a message that is on its way must not get lost by a throw");
    if (closed_) return;
    std::optional<T> dropped;  // destroyed last: what its destructor does may send as well
    if (ring_.size() == ring_.capacity()) dropped.emplace(ring_.pop());
    ring_.push(std::move(value));
    ++sent_;
    wake_all();
}

template <class T>
void broadcast<T>::close() noexcept {
    closed_ = true;
    wake_all();
}

template <class T>
void broadcast<T>::wake_all() noexcept {
    while (receive_operation* first = waiting_.pop_front()) first->finish();
}

}  // namespace cove
