#include <cove/net/outbox.hpp>

#include <algorithm>

namespace cove {

bool outbox::try_push(message added) {
    if (closed_) return false;
    if (added.size() == 0) return true;
    if (size_ >= options_.messages_max && !overflow()) return false;
    append(std::move(added));
    messages_.wake_one();
    return true;
}

task<bool> outbox::push(message added) {
    const bool needs_room = options_.policy == when_full::wait && added.size() > 0;
    while (needs_room && size_ >= options_.messages_max && !closed_) co_await room_.wait();
    co_return try_push(std::move(added));
}

void outbox::close() noexcept {
    closed_ = true;
    messages_.wake_all();
    room_.wake_all();
}

task<bool> outbox::wait_for_messages() {
    while (size_ == 0 && !closed_) co_await messages_.wait();
    co_return size_ > 0;
}

// Makes room for one more message, or answers that there is none.
bool outbox::overflow() noexcept {
    const std::size_t lent = std::max<std::size_t>(being_written_, first_sent_bytes_ > 0 ? 1 : 0);
    switch (options_.policy) {
        case when_full::wait: return false;
        case when_full::drop_oldest:
            if (lent >= size_) return true;  // what is lent to a write cannot be dropped: one more, for the moment
            for (std::size_t i = lent; i + 1 < size_; ++i) at(i) = std::move(at(i + 1));
            drop_from(size_ - 1);
            return true;
        case when_full::disconnect:
            // What is on its way stays, so that finish() can complete it and last words do not fall into its middle.
            overflowed_ = true;
            drop_from(lent);
            until_overflow_.cancel();
            close();
            return false;
    }
    return false;
}

std::size_t outbox::fill(std::span<std::string_view, batch_max> parts) noexcept {
    being_written_ = std::min(size_, batch_max);
    for (std::size_t i = 0; i < being_written_; ++i) parts[i] = at(i).view();
    parts[0].remove_prefix(first_sent_bytes_);
    return being_written_;
}

void outbox::settle(std::size_t sent_bytes) noexcept {
    being_written_ = 0;
    first_sent_bytes_ += sent_bytes;
    while (size_ > 0 && first_sent_bytes_ >= at(0).size()) {
        first_sent_bytes_ -= at(0).size();
        pop_first();
        room_.wake_one();
    }
}

void outbox::append(message&& added) {
    if (size_ == ring_.size()) {
        std::vector<message> larger(std::max<std::size_t>(4, ring_.size() * 2));
        for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move(at(i));
        ring_ = std::move(larger);
        first_ = 0;
    }
    ++size_;
    at(size_ - 1) = std::move(added);
}

void outbox::pop_first() noexcept {
    at(0) = message();
    first_ = (first_ + 1) % ring_.size();
    --size_;
}

void outbox::drop_from(std::size_t position) noexcept {
    while (size_ > position) {
        at(size_ - 1) = message();
        --size_;
        ++dropped_;
    }
}

}  // namespace cove
