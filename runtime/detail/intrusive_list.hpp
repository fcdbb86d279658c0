// A doubly linked list whose links live in the elements, so that linking allocates nothing and an
// element can leave from the middle in O(1) without knowing which list it is in. Everything in cove
// that waits, is ready or is due stands in such a list; an element's destructor takes it out, which
// is what makes destroying a suspended coroutine safe.

#pragma once

#include <cstddef>

namespace cove::detail {

template <class T, class Tag>
class intrusive_list;

// One link. A type that stands in several lists at once derives from one per list, told apart by Tag. Whoever derives from
// a list_hook sees to it that it stands in no list when it ends: most derive from list_node.
template <class Tag>
class list_hook {
public:
    list_hook() noexcept = default;
    list_hook(const list_hook&) noexcept {}  // a copy stands in no list
    list_hook& operator=(const list_hook&) = delete;

    bool linked() const noexcept { return next_ != nullptr; }

    void unlink() noexcept {
        if (next_ == nullptr) return;
        prev_->next_ = next_;
        next_->prev_ = prev_;
        next_ = nullptr;
    }

private:
    template <class T, class Tag2>
    friend class intrusive_list;

    list_hook* prev_ = nullptr;  // means something only while it is linked
    list_hook* next_ = nullptr;  // null: not linked
};

// One whose destructor takes it out.
template <class Tag>
class list_node : public list_hook<Tag> {
public:
    list_node() noexcept = default;
    list_node(const list_node&) noexcept = default;
    list_node& operator=(const list_node&) = delete;
    ~list_node() { this->unlink(); }
};

template <class T, class Tag>
class intrusive_list {
    using node = list_hook<Tag>;

public:
    intrusive_list() noexcept { head_.prev_ = head_.next_ = &head_; }
    intrusive_list(const intrusive_list&) = delete;
    intrusive_list& operator=(const intrusive_list&) = delete;
    ~intrusive_list() {
        while (pop_front() != nullptr) {
        }
    }

    bool empty() const noexcept { return head_.next_ == &head_; }
    T* front() const noexcept { return empty() ? nullptr : element(head_.next_); }
    T* next(T& item) const noexcept {
        node* after = static_cast<node&>(item).next_;
        return after == &head_ ? nullptr : element(after);
    }

    T* back() const noexcept { return empty() ? nullptr : element(head_.prev_); }
    T* previous(T& item) const noexcept {
        node* before = static_cast<node&>(item).prev_;
        return before == &head_ ? nullptr : element(before);
    }

    void push_back(T& item) noexcept {
        node& added = item;
        added.prev_ = head_.prev_;
        added.next_ = &head_;
        head_.prev_->next_ = &added;
        head_.prev_ = &added;
    }

    T* pop_front() noexcept {
        if (empty()) return nullptr;
        node* first = head_.next_;
        head_.next_ = first->next_;
        head_.next_->prev_ = &head_;
        first->next_ = nullptr;
        return element(first);
    }

    // Appends all of other, in order, and leaves it empty.
    void splice_back(intrusive_list& other) noexcept {
        if (other.empty()) return;
        node* first = other.head_.next_;
        node* last = other.head_.prev_;
        first->prev_ = head_.prev_;
        head_.prev_->next_ = first;
        last->next_ = &head_;
        head_.prev_ = last;
        other.head_.prev_ = other.head_.next_ = &other.head_;
    }

private:
    static T* element(node* link) noexcept { return static_cast<T*>(link); }

    node head_;
};

}  // namespace cove::detail
