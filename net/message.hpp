// Bytes that are written once and sent to many.

#pragma once

#include <cstddef>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace cove {

// An immutable message, shared by counting: a copy costs an increment. Concurrency: its copies stay on one thread.
class message {
public:
    message() noexcept = default;

    // Makes a message of the parts, one after the other. Throws std::bad_alloc.
    explicit message(std::initializer_list<std::string_view> parts);
    explicit message(std::string_view text) : message({text}) {}

    message(const message& other) noexcept : shared_(other.shared_) {
        if (shared_ != nullptr) ++shared_->holders;
    }
    message(message&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
    message& operator=(message other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~message() {
        if (shared_ != nullptr && --shared_->holders == 0) destroy();
    }

    std::string_view view() const noexcept {
        return shared_ == nullptr ? std::string_view()
                                  : std::string_view(reinterpret_cast<const char*>(shared_ + 1), shared_->size);
    }
    std::size_t size() const noexcept { return shared_ == nullptr ? 0 : shared_->size; }

private:
    struct header {  // the bytes follow it
        std::size_t holders;
        std::size_t size;
    };
    void destroy() noexcept;

    header* shared_ = nullptr;
};

}  // namespace cove
