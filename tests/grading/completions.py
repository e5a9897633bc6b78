"""Completions in the styles of current models: (grader, gold answer, text, whether it is right)."""

A, B = r"\boxed{42}", r"\boxed{41}"
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}"

COMPLETIONS: dict[str, list[tuple[str, str, str, bool]]] = {
    "reasoning": [
        *(
            (grader, "42", text.format(*order), order[1] == said)
            for text in (
                "<think>\n{}\n</think>\n\nThe answer is {}",
                "{}\n</think>\n\n{}",
                "<reasoning>\n{}\n</reasoning>\n<answer>\n{}\n</answer>",
                "<seed:think>{}</seed:think>{}<seed:eos>",
                "[THINK]{}[/THINK]{}</s>",
                "◁think▷{}◁/think▷ It is {}.",
                "<|begin_of_thought|>{}<|end_of_thought|><|begin_of_solution|>{}"
                "<|end_of_solution|>",
                "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>",
                HARMONY + "<|return|>",
                "analysisWe say {}assistantfinal{}",
                "<unused94>thought\n{}<unused95>{}",
                "<|channel>thought\n{}<channel|>{}",
                "<scratchpad>{}</scratchpad>\nAnswer: {}",
            )
            for grader, said, order in (
                ("math", A, (B, A)),
                ("math", A, (A, B)),
                ("gsm8k", "#### 42", ("#### 41", "#### 42")),
                ("gsm8k", "#### 42", ("#### 42", "#### 41")),
            )
        ),
        *(
            (grader, gold, text, False)
            for grader, gold, said in (
                ("math", "42", A),
                ("gsm8k", "42", "#### 42"),
                ("multiple_choice", "C", "The answer is C"),
                ("final_answer", "5", "Answer: 5"),
                ("exact", "Paris", "Paris"),
            )
            for text in (
                f"<think>{said}",
                f"[THINK]{said}",
                f"<think>a</think>b<think>{said}",
                f"<|channel|>analysis<|message|>{said}",
                f"analysisSo {said}",
                f"{said}</think>",
            )
        ),
        ("math", "42", "[Reasoning]\nsix sevens\n[Answer]\n42", True),
        ("math", "42", "[reasoning]41?[/reasoning]Final answer: 42", True),
        ("multiple_choice", "C", "<think>It is A.</think>The answer is C.", True),
        ("multiple_choice", "C", "<think>It is C.</think>The answer is A.", False),
        ("final_answer", "5", "<think>Answer: 4</think>Answer: 5", True),
        ("exact", "Paris", "<think>Lyon?</think>\nParis", True),
        ("exact", "Paris", "<think>Paris</think>\nLyon", False),
    ],
    "end of the turn": [
        *(
            ("math", "42", f"42{end}", True)
            for end in (
                "</s>",
                "<|im_end|>",
                "<|eot_id|>",
                "<|endoftext|>",
                "<end_of_turn>",
                "<eos>",
            )
        ),
        ("math", "42", "42<｜end▁of▁sentence｜>", True),
        ("math", "42", "42<|im_end|>\n<|im_start|>user\nAnd 43?", True),
        ("math", "43", rf"{A}<|im_end|>\boxed{{43}}", False),
        ("exact", "Paris", "Paris<|im_end|>", True),
        ("multiple_choice", "B", "B</s>", True),
        ("exact", "<s>41</s> 42", "<s>41</s> 42", True),
    ],
    "boxes": [
        ("math", "42", rf"{B} Wait, that is wrong. {A}", True),
        ("math", "41", rf"{B} Wait, that is wrong. {A}", False),
        ("math", "42", f"{B}. Correction: the final answer is 42.", True),
        ("math", "42", f"The answer is ${A}$.\n\n#### Verification\n\nSo x = 3 gives 9.", True),
        ("math", "42", f"{A}\n\n#### 2. Check\n6 + 1 = 7", True),
        ("math", "42", f"{A}\n\n### Notes\nWe used 3 facts. The answer is 6 sevens.", True),
        ("math", "42", f"{B}\n\n#### 42", True),
        ("math", "42", f"{A}\n\n#### 3 remarks", True),
        ("math", "42", f"{A}. The final answer is 2 more than 40, as was to be shown.", True),
        ("math", "42", f"{A}. Wait. The final answer is 41.", False),
        ("math", "7", f"{A}\n\n#### Step 7", False),
        ("math", "2", f"{A}\n\n#### 2. Check", False),
        ("math", "42", A * 50 + B, False),
        ("math", "1,2", r"\boxed{1} papers and \boxed{2} bins", True),
        ("math", "1,2", r"\boxed{1} is not right, but \boxed{2}", False),
        ("math", "42", r"\boxed{}", False),
        ("math", "42", r"\boxed{The answer is 42}", True),
        ("math", "42", r"\boxed{The answer is 41, not 42}", False),
        ("gsm8k", "42", f"{A}\n\n#### Verification\nThe 3 parts sum up to 42 (6 times 7).", True),
    ],
    "declared": [
        ("math", "42", "#### Step 1\nWe take 6 of 7.\n#### Step 2\nIt is 42.", True),
        ("math", "42", "#### Answer\n42", True),
        ("math", "x+1", "#### x + 1", True),
        ("math", "7", "Step 3: 7", True),
        ("math", "3:7", "It is 3:7", True),
        ("math", r"2\sqrt{10}", "The answer is 2√10 meters.", True),
        ("math", r"2\sqrt{10}", "So the distance is 2√10 meters.", True),
        ("math", r"3\pi", "So the area is 3π.", True),
        ("math", "(1,2)", "The point is (1, 2).", True),
        ("math", "1,2", "The solutions are x = 1 and x = 2.", True),
        ("math", "42", "La réponse est 42 car il y a 3 groupes.", True),
        ("math", "42", "答案是 42，因为有 3 组。", True),
        ("math", "A", "故选：A", True),
        ("math", r"3\sqrt{2}", "So we get 3*sqrt(2).", True),
        ("math", "2^{10}", "So it is 2^10.", True),
        ("math", "n(n+1)/2", "The sum is n(n+1)/2.", True),
        ("math", "42", r"$$\begin{aligned}x &= 40+2\\ &= 42\end{aligned}$$", True),
        ("math", "42", "42 (forty-two)", True),
        ("math", "42", "したがって、答えは42です。", True),
        ("math", "0.12", "The answer is .12.", True),
        ("math", r"\frac{3}{8}", r"Hence P = \frac{3}{8}, which is all.", True),
        ("math", "42", "The answer is 6 * 7 = 42 apples in all.", True),
        ("math", "42", "<answer>The answer is 42</answer>", True),
        ("math", "42", "<answer>The answer is 41</answer>", False),
        ("math", "42", "Answer: 42\n\nI can show 3 more examples!", True),
        ("math", "we let x be even or odd", "we let x be even or odd", True),
    ],
    "gsm8k": [
        ("gsm8k", "7", "The answer is 3 + 4 = 7", True),
        ("gsm8k", "3", "The answer is 3 + 4 = 7", False),
        ("gsm8k", "7", "7 (3 + 4)", True),
        ("gsm8k", "4", "7 (3 + 4)", False),
        ("gsm8k", "540", "540 meters (3 * 3 * 60)", True),
        ("gsm8k", "7", "Final answer: 7 (that is 3 + 4)", True),
        ("gsm8k", "120", "#### 5!", True),
        ("gsm8k", "5", "#### 5!", False),
        ("gsm8k", "20", "Answer: 4 * 5 = 20 apples", True),
        ("gsm8k", "42", "#### Step 1: 6 apples\n#### Step 2: 7 baskets\nTotal: 42", True),
        ("gsm8k", "12", "So the answer is 12 eggs in 3 boxes.", True),
    ],
    "choices": [
        ("multiple_choice", "A", r"\textbf{(A)}\ 42", True),
        ("multiple_choice", "A", r"\boxed{\textbf{(A)}\ 42}", True),
        ("multiple_choice", "B", r"\textbf{(A)}\ 42", False),
        ("multiple_choice", "D", "答案选D。", True),
        ("multiple_choice", "D", "答案为D", True),
        ("multiple_choice", "B", "The answer is not D but B.", True),
        ("multiple_choice", "C", r"\boxed{c}", True),
    ],
}
