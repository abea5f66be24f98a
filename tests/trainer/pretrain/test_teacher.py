import pytest
import torch
from torch import nn

from iscc_lidar.trainer.pretrain.teacher import TeacherConfig, follow, momentum_at, start_teacher


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.extra = nn.Linear(2, 2)


class Teacher(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def test_the_teacher_starts_as_the_student_and_follows_by_the_momentum():
    student, teacher = Student(), Teacher()
    start_teacher(teacher, student)
    start = student.body[0].weight.detach().clone()
    torch.testing.assert_close(teacher.body[0].weight, start)
    with torch.no_grad():
        student.body[0].weight += 1.0
        student.body[1].running_mean += 5.0
    follow(teacher, student, 0.9)
    torch.testing.assert_close(teacher.body[0].weight, start + 0.1)
    follow(teacher, student, 0.9)
    torch.testing.assert_close(teacher.body[0].weight, start + 0.19)
    torch.testing.assert_close(teacher.body[1].running_mean, torch.zeros(3))
    assert not any(p.requires_grad for p in teacher.parameters())


def test_momentum_rises_from_start_to_end():
    values = [momentum_at(step, 100, TeacherConfig(0.9, 1.0)) for step in range(101)]
    assert values[0] == pytest.approx(0.9)
    assert values[50] == pytest.approx(0.95)
    assert values[100] == pytest.approx(1.0)
    assert values == sorted(values)
