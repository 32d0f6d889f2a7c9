"""What happens to consent, in the words of the audit log."""

from auditlog.verbs import register

register(
    approvals__authorization__granted="granted the authorization",
    approvals__review__opened="opened the review",
    approvals__review__voted_approve="voted to approve the review",
    approvals__review__voted_reject="voted to reject the review",
    approvals__review__taken_back="took back the vote on the review",
    approvals__review__approved="approved the review",
    approvals__review__rejected="rejected the review",
    approvals__review__objected="objected in the review",
    approvals__review__window_started="started the objection window of the review",
    approvals__review__window_failed="could not start the objection window of the review",
    approvals__review__voided="ended the review without a verdict",
    approvals__review__escalated="escalated the review",
    approvals__review__reassigned="reassigned the review",
    approvals__second_opinion__given="gave the second opinion",
    approvals__review__asked="asked the requester in the review",
    approvals__review__answered="answered the question of the review",
    approvals__review__linked="made a new link for the answer in the review",
    approvals__review__unasked="went on without an answer in the review",
    approvals__review__snoozed="put off the review",
    approvals__review__woke="put the review back into the queue",
    approvals__case__commented="commented on",
    approvals__review__blocked="found nobody who may vote on the review",
)
register(
    approvals__review__claimed="claimed the review",
    approvals__review__taken_over="took over the review",
    approvals__review__let_go="let go of the review",
    approvals__review__given="gave the review to whose turn it is",
    approvals__review__freed="left the review to whoever may decide it",
    approvals__review__reminded="reminded of the review",
    approvals__review__kept="left the review with whoever has it",
    approvals__absence__agreed="agreed on the time off",
    approvals__absence__called_off="called off the time off",
)
register(
    # Calendars are changed under accounts now; what was recorded before keeps its words.
    approvals__calendar__added="added the business calendar",
    approvals__calendar__changed="changed the business calendar",
    approvals__skill__added="added the skill",
    approvals__skill__changed="changed the skill",
    approvals__tier__added="added the tier",
    approvals__tier__changed="changed the tier",
    approvals__running_limit__added="added the running limit",
    approvals__running_limit__changed="changed the running limit",
    approvals__reason_code__added="added the reason code",
    approvals__reason_code__changed="changed the reason code",
    approvals__policy__drafted="began a draft of the threshold policy",
    approvals__policy__changed="changed the draft of the threshold policy",
    approvals__policy__tried="tried the threshold policy on past cases",
    approvals__policy__discarded="threw away the draft of the threshold policy",
    approvals__policy__published="published the threshold policy",
    approvals__policy__retired="retired the threshold policy",
)
